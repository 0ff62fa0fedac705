//! Bytes with a media type: how an action that is not about JSON sees its input and makes its output.

use alloc::string::String;
use alloc::vec::Vec;

use crate::Content;

/// The media type of JSON.
pub(crate) const JSON: &str = "application/json";

impl Content {
    /// Bytes of a media type.
    ///
    /// ```
    /// use akita_plugin::Content;
    /// let picture = Content::new("image/jpeg", vec![0xff, 0xd8]);
    /// assert_eq!(picture.media_type(), "image/jpeg");
    /// ```
    pub fn new(content_type: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self { content_type: content_type.into(), body: body.into() }
    }

    /// A JSON document that is text already.
    ///
    /// ```
    /// use akita_plugin::Content;
    /// assert!(Content::json(r#"{"ok":true}"#).is_json());
    /// ```
    pub fn json(text: impl Into<String>) -> Self {
        Self { content_type: JSON.into(), body: text.into().into_bytes() }
    }

    /// The media type in lower case, without parameters such as a charset.
    ///
    /// ```
    /// use akita_plugin::Content;
    /// assert_eq!(Content::new("Text/CSV; charset=utf-8", "a\n1\n").media_type(), "text/csv");
    /// ```
    #[must_use]
    pub fn media_type(&self) -> String {
        self.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// Whether the bytes are said to be JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(JSON)
    }
}
