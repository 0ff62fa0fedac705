//! The macros that turn functions into a component. They only write tables and glue; all that happens at run time is in
//! ordinary functions of this crate.

/// Makes a plugin of functions.
///
/// `name`, `summary` and `actions` come in this order, then optionally `provides`. Each action is
/// `"name" => function { summary: "...", ... }`, where the function is `fn(I) -> Result<O, TaskError>` with an
/// [`Input`](crate::Input) and an [`Output`](crate::Output), and the braces may also hold, with a value each:
///
/// | key | meaning | if absent |
/// |---|---|---|
/// | `idempotent` | running it twice does no more than running it once | `false` |
/// | `deterministic` | the same input gives the same output, bit for bit | `false` |
/// | `typical_ms` | how long one run usually takes | unknown |
/// | `requires` | capabilities that a node must have, such as `["gpu"]` | none |
/// | `input: chunks` | it reads its input with [`task::read_input`](crate::task::read_input), and its request comes without it | it gets the whole input |
/// | `input_schema`, `output_schema` | JSON Schema as text, instead of that of the type | that of the type |
///
/// The version is that of the crate. The macro defines `static PLUGIN`, which tests hand to
/// [`Harness`](crate::testing::Harness), and, when compiled for WebAssembly, the component's exports. It belongs into the
/// crate's root, in a crate of type `cdylib`.
///
/// ```
/// use akita_plugin::{Content, TaskError};
///
/// fn reverse(mut input: Content) -> Result<Content, TaskError> {
///     input.body.reverse();
///     Ok(input)
/// }
///
/// akita_plugin::plugin! {
///     name: "tools",
///     summary: "Turns things around.",
///     actions: {
///         "reverse" => reverse { summary: "The same bytes, last one first.", idempotent: true, typical_ms: 1 },
///     },
///     provides: ["reversing"],
/// }
///
/// assert_eq!(PLUGIN.describe().actions[0].name, "reverse");
/// ```
#[macro_export]
macro_rules! plugin {
    (
        name: $name:expr,
        summary: $summary:expr,
        actions: { $($action:expr => $function:path { $($key:ident : $value:tt),* $(,)? }),+ $(,)? }
        $(, provides: [$($capability:expr),* $(,)?])? $(,)?
    ) => {
        /// What this plugin is and can do.
        pub static PLUGIN: $crate::Plugin = $crate::Plugin {
            name: $name,
            version: ::core::env!("CARGO_PKG_VERSION"),
            summary: $summary,
            actions: &[$({
                #[allow(unused_mut, reason = "an action without any key changes nothing")]
                let mut action = $crate::Action::new($action, |content| $crate::call($function, content));
                action.input_schema = || $crate::input_schema($function);
                action.output_schema = || $crate::output_schema($function);
                action.chunks = $crate::reads_chunks($function);
                $($crate::__set!(action, $key, $value);)*
                action
            }),+],
            provides: &[$($($capability),*)?],
        };

        $crate::__export!();
    };
}

/// One key of an action in [`plugin!`].
#[doc(hidden)]
#[macro_export]
macro_rules! __set {
    ($action:ident, summary, $value:tt) => {
        $action.summary = $value
    };
    ($action:ident, idempotent, $value:tt) => {
        $action.idempotent = $value
    };
    ($action:ident, deterministic, $value:tt) => {
        $action.deterministic = $value
    };
    ($action:ident, typical_ms, $value:tt) => {
        $action.typical_ms = ::core::option::Option::Some($value)
    };
    ($action:ident, requires, $value:tt) => {
        $action.requires = &$value
    };
    ($action:ident, input, chunks) => {
        $action.chunks = true
    };
    ($action:ident, input_schema, $value:tt) => {
        $action.input_schema = || ::core::option::Option::Some(($value).into())
    };
    ($action:ident, output_schema, $value:tt) => {
        $action.output_schema = || ::core::option::Option::Some(($value).into())
    };
    ($action:ident, $key:ident, $value:tt) => {
        ::core::compile_error!(::core::concat!(
            "`",
            ::core::stringify!($key),
            "` is no key of an action: there are summary, idempotent, deterministic, typical_ms, requires, ",
            "input: chunks, input_schema and output_schema"
        ))
    };
}

/// The component's exports. Native builds have none: tests call the table.
#[doc(hidden)]
#[macro_export]
#[cfg(target_family = "wasm")]
macro_rules! __export {
    () => {
        /// Stands for the plugin at the component's edge.
        struct Component;

        impl $crate::contract::exports::akita::plugin::actions::Guest for Component {
            fn describe() -> $crate::PluginInfo {
                PLUGIN.describe()
            }

            fn run(request: $crate::Request) -> ::core::result::Result<$crate::Content, $crate::TaskError> {
                PLUGIN.run(request)
            }
        }

        $crate::contract::export_plugin!(Component with_types_in $crate::contract);
    };
}

/// The component's exports. Native builds have none: tests call the table.
#[doc(hidden)]
#[macro_export]
#[cfg(not(target_family = "wasm"))]
macro_rules! __export {
    () => {};
}

/// What a plugin without the standard library needs instead of it: an allocator and a panic handler.
///
/// Together with `no_std` it makes a plugin about 45 KB smaller and faster to start, and leaves it no import but the host's
/// own. A panic is written to the node's log as an error before the trap. Both lines go to the top of `lib.rs`; tests
/// still have the standard library, because they are native:
///
/// ```
/// #![cfg_attr(target_family = "wasm", no_std)]
/// akita_plugin::no_std_runtime!();
/// # fn main() {}
/// ```
///
/// Leave both out if the plugin, or any crate it depends on, needs `std`: with it, the compiler complains of a duplicate
/// `panic_impl`. The allocator is made for runs that are short: it reuses what is freed, in sizes of powers of two, and
/// never gives memory back.
#[macro_export]
macro_rules! no_std_runtime {
    () => {
        $crate::__no_std_runtime!();
    };
}

/// [`no_std_runtime!`] where there is WebAssembly.
#[doc(hidden)]
#[macro_export]
#[cfg(target_family = "wasm")]
macro_rules! __no_std_runtime {
    () => {
        #[global_allocator]
        static ALLOCATOR: $crate::runtime::Allocator = $crate::runtime::Allocator;

        #[panic_handler]
        fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
            $crate::runtime::panic(info)
        }

        // The host's way to place arguments. For wasip1 wit-bindgen brings it, for wasip2 the standard library would.
        #[cfg(target_env = "p2")]
        #[unsafe(no_mangle)]
        unsafe extern "C" fn cabi_realloc(old: *mut u8, old_size: usize, align: usize, size: usize) -> *mut u8 {
            unsafe { $crate::runtime::reallocate(old, old_size, align, size) }
        }
    };
}

/// [`no_std_runtime!`] in a native build, which has a standard library.
#[doc(hidden)]
#[macro_export]
#[cfg(not(target_family = "wasm"))]
macro_rules! __no_std_runtime {
    () => {};
}
