//! What `wit/` means in Rust, generated; the only place with `unsafe`, none of it written by hand.
#![expect(unsafe_code, reason = "generated code that hands memory over the component's edge")]

use crate::Basics;

wit_bindgen::generate!({ world: "plugin", path: "../../wit" });

export!(Basics);
