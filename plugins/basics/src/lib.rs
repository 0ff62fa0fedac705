//! The smallest useful actions: `echo` and `log`. This file is the component's edge: it translates between the contract
//! and `line`, and decides nothing.
#![cfg_attr(target_family = "wasm", no_std)]

mod line;

use akita_plugin::prelude::*;
use line::Line;

akita_plugin::no_std_runtime!();

akita_plugin::plugin! {
    name: "basics",
    summary: env!("CARGO_PKG_DESCRIPTION"),
    actions: {
        "echo" => echo {
            summary: "Gives the input back, unchanged",
            idempotent: true,
            deterministic: true,
            typical_ms: 1,
        },
        "log" => write_line {
            summary: "Writes a line to the log of the node that runs it",
            deterministic: true,
            typical_ms: 1,
            input_schema: (line::INPUT_SCHEMA),
            output_schema: (line::OUTPUT_SCHEMA),
        },
    },
}

fn echo(input: Content) -> Result<Content, TaskError> {
    Ok(input)
}

fn write_line(input: Content) -> Result<Content, TaskError> {
    let line = Line::parse(&input.body)?;
    log::write_owned(line.level.into(), &line.message, &line.fields);
    Ok(Content::json(line.receipt()))
}

#[cfg(test)]
mod tests {
    use akita_plugin::log::Level;
    use akita_plugin::prelude::*;
    use akita_plugin::testing::Harness;

    #[test]
    fn anything_is_echoed() {
        let basics = Harness::new(&super::PLUGIN);
        let input = Content::new("image/png", [0, 255, 10]);
        assert_eq!(basics.run("echo", input.clone()).output(), &input);
        assert_eq!(basics.describe().actions.len(), 2);
    }

    #[test]
    fn a_line_reaches_the_log() {
        let basics = Harness::new(&super::PLUGIN);
        let outcome = basics.json("log", r#"{"message":"low","level":"warn","fields":{"site":"ridge-2"}}"#);
        assert_eq!(outcome.text(), r#"{"logged":true,"level":"warn","bytes":3}"#);
        let line = &outcome.lines[0];
        assert_eq!((line.level, line.message.as_str()), (Level::Warn, "low"));
        assert_eq!(line.fields, [("site".to_owned(), "ridge-2".to_owned())]);
        let failure = basics.json("log", "{}").failure().clone();
        assert_eq!((failure.code.as_deref(), failure.pointer.as_deref()), (Some("no-message"), Some("/message")));
    }
}
