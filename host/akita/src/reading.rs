//! How new an answer must be, as whoever asks says it. It reads nothing itself; the node keeps to it.

/// How new an answer must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Consistency {
    /// The newest, confirmed by the leader; where nobody can confirm it, what a voter's own copy says, marked as stale.
    #[default]
    Usual,
    /// The newest, confirmed by the leader, or no answer at all.
    Linearizable,
    /// What the asked node has itself, at once.
    Stale,
}

impl Consistency {
    /// The words for the two that can be asked for.
    pub const WORDS: [&'static str; 2] = ["linearizable", "stale"];

    /// From its word.
    pub fn parse(word: &str) -> Option<Consistency> {
        match word {
            "linearizable" => Some(Consistency::Linearizable),
            "stale" => Some(Consistency::Stale),
            _ => None,
        }
    }
}

/// What a question says of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// How new it must be.
    pub consistency: Consistency,
    /// The log's entry that the answer must be as new as: the asker's own write.
    pub after: Option<u64>,
}

impl std::fmt::Display for Reading {
    /// As a question's query says it; nothing for the usual.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.consistency {
            Consistency::Usual => {}
            Consistency::Linearizable => f.write_str(" linearizable")?,
            Consistency::Stale => f.write_str(" stale")?,
        }
        self.after.map_or(Ok(()), |after| write!(f, " after {after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_understood_and_no_other() {
        for word in Consistency::WORDS {
            let reading = Reading { consistency: Consistency::parse(word).expect("a word"), after: Some(7) };
            assert_eq!(reading.to_string(), format!(" {word} after 7"));
        }
        assert_eq!(Consistency::parse("newest"), None);
        assert_eq!(Reading::default().to_string(), "");
    }
}
