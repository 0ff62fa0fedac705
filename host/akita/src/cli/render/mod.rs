//! Shapes of text output: aligned tables, relative times, sizes, colours. Colours are always written; the stream
//! drops them where they are not wanted.

mod table;

pub use table::{Align, Table, facts};

use std::time::Duration;

use jiff::Timestamp;
use owo_colors::OwoColorize as _;

/// How many characters of a node's id tell nodes apart well enough for people.
const SHORT_ID: usize = 8;

/// The beginning of an id, for people.
pub fn short_id(id: &str) -> String {
    id.chars().take(SHORT_ID).collect()
}

/// `1,987`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 task`, `2 tasks`.
pub fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", thousands(number), if number == 1 { "" } else { "s" })
}

/// A size in the unit that leaves one to three digits: `512 B`, `1.9 KiB`, `42 MiB`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" || value >= 10.0 { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// A length of time with one or two units: `850 ms`, `1.2 s`, `3 min 5 s`, `2 h 10 min`, `3 d 4 h`.
pub fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        0 => format!("{} ms", length.as_millis()),
        1..10 => format!("{:.1} s", length.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3_600 => two(seconds / 60, "min", seconds % 60, "s"),
        3_600..86_400 => two(seconds / 3_600, "h", seconds % 3_600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3_600, "h"),
    }
}

/// `3 s ago`, `5 min ago`, `in 2 h`: the largest unit only.
pub fn relative(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(time).as_secs();
    let ago = ago(seconds.unsigned_abs());
    match seconds {
        0 => "just now".to_owned(),
        1.. => format!("{ago} ago"),
        _ => format!("in {ago}"),
    }
}

/// The same for an age in seconds.
pub fn age(seconds: f64) -> String {
    if seconds < 1.0 { "just now".to_owned() } else { format!("{} ago", ago(seconds as u64)) }
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A task's or node's state in its colour.
pub fn state(word: &str) -> String {
    match word {
        "completed" | "online" | "ready" | "leader" => word.green().to_string(),
        "failed" | "offline" | "rejected" | "error" => word.red().to_string(),
        "cancelled" | "suspect" | "warn" | "blocked" | "disabled" | "quarantined" | "untrusted" => {
            word.yellow().to_string()
        }
        "running" | "assigned" | "info" | "compiling" => word.cyan().to_string(),
        _ => word.to_owned(),
    }
}

/// A text cut to a number of characters, so that a table stays a table.
pub fn cut(text: &str, most: usize) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ");
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

/// Text that came from elsewhere, without control characters that would steer the terminal.
pub fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' && c != '\t' { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_counted() {
        assert_eq!([0, 999, 1_987, 1_000_000].map(thousands), ["0", "999", "1,987", "1,000,000"]);
        assert_eq!((counted(1, "task"), counted(2_000, "row")), ("1 task".into(), "2,000 rows".into()));
    }

    #[test]
    fn sizes_and_lengths_have_few_digits() {
        assert_eq!([512, 1_945, 44_040_192, 3 << 40].map(size), ["512 B", "1.9 KiB", "42 MiB", "3.0 TiB"]);
        let lengths = [850, 1_240, 12_000, 185_000, 7_800_000, 273_600_000];
        let shown = ["850 ms", "1.2 s", "12 s", "3 min 5 s", "2 h 10 min", "3 d 4 h"];
        assert_eq!(lengths.map(|ms| duration(Duration::from_millis(ms))), shown);
    }

    #[test]
    fn times_are_told_from_now() {
        let now: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
        let told = |text: &str| relative(text.parse().expect("a time"), now);
        assert_eq!(told("2026-03-01T12:00:00.4Z"), "just now");
        assert_eq!(told("2026-03-01T11:59:57Z"), "3 s ago");
        assert_eq!(told("2026-03-01T11:55:00Z"), "5 min ago");
        assert_eq!(told("2026-02-27T12:00:00Z"), "2 d ago");
        assert_eq!(told("2026-03-01T14:00:00Z"), "in 2 h");
    }

    #[test]
    fn foreign_text_cannot_steer_the_terminal() {
        assert_eq!(tame("a\u{1b}[31mb\n"), "a\u{fffd}[31mb\n");
        assert_eq!((cut("abc\ndef", 5), cut("short", 5)), ("abc …".into(), "short".into()));
    }
}
