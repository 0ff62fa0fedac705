//! The `akita` program. All of it is in the library; this only ends the process with its code.

fn main() -> std::process::ExitCode {
    akita::cli::main()
}
