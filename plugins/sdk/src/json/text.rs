//! The grammar of JSON (RFC 8259): spaces, strings, numbers, and skipping what nobody asked for. It makes no Rust value
//! but text.

use alloc::borrow::Cow;
use alloc::string::String;

use super::Error;

/// Deeper nesting is refused: each level takes stack, and a guest has little.
const MAX_DEPTH: usize = 64;

/// A place in a document.
pub(super) struct Cursor<'de> {
    text: &'de str,
    at: usize,
    depth: usize,
}

impl<'de> Cursor<'de> {
    pub fn new(body: &'de [u8]) -> Result<Self, Error> {
        let text = str::from_utf8(body).map_err(|error| Error::syntax("UTF-8", error.valid_up_to()))?;
        Ok(Self { text, at: 0, depth: 0 })
    }

    pub fn fault(&self, expected: &'static str) -> Error {
        Error::syntax(expected, self.at)
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// The next byte that is no space.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    /// Takes this byte, if it is the next.
    pub fn take(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    pub fn expect(&mut self, wanted: u8, name: &'static str) -> Result<(), Error> {
        if self.take(wanted) { Ok(()) } else { Err(self.fault(name)) }
    }

    /// Takes this word, if it is the next.
    pub fn word(&mut self, word: &'static str) -> bool {
        self.peek();
        let there = self.text[self.at..].starts_with(word);
        self.at += if there { word.len() } else { 0 };
        there
    }

    pub fn end(&mut self) -> Result<(), Error> {
        if self.peek().is_none() { Ok(()) } else { Err(self.fault("the end")) }
    }

    /// Enters an object or a list.
    pub fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        self.at += 1;
        if self.depth > MAX_DEPTH { Err(self.fault("less nesting")) } else { Ok(()) }
    }

    /// Whether there is another item before `close`, which is taken; `first` has no comma in front of it.
    pub fn more(&mut self, first: bool, close: u8) -> Result<bool, Error> {
        if self.take(close) {
            self.depth -= 1;
            return Ok(false);
        }
        if !first {
            self.expect(b',', "`,` or the closing bracket")?;
        }
        Ok(true)
    }

    /// The digits of a number, with sign, point and exponent.
    pub fn number(&mut self) -> Result<&'de str, Error> {
        self.peek();
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    fn digits(&mut self) -> Result<(), Error> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start { Err(self.fault("a value")) } else { Ok(()) }
    }

    /// A string: a part of the document itself where nothing in it is escaped.
    pub fn string(&mut self) -> Result<Cow<'de, str>, Error> {
        self.expect(b'"', "`\"`")?;
        let mut built = String::new();
        loop {
            let start = self.at;
            while !matches!(self.byte(), None | Some(b'"' | b'\\' | 0..0x20)) {
                self.at += 1;
            }
            let plain = &self.text[start..self.at];
            match self.byte() {
                Some(b'"') if built.is_empty() => {
                    self.at += 1;
                    return Ok(Cow::Borrowed(plain));
                }
                Some(b'"') => {
                    self.at += 1;
                    built.push_str(plain);
                    return Ok(Cow::Owned(built));
                }
                Some(b'\\') => {
                    self.at += 1;
                    built.push_str(plain);
                    built.push(self.escape()?);
                }
                _ => return Err(self.fault("`\"`")),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Error> {
        let letter = self.byte();
        self.at += 1;
        Ok(match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.code_point(),
            _ => return Err(self.fault("an escape")),
        })
    }

    /// `\u` and four digits; two of them for what lies beyond 16 bits.
    fn code_point(&mut self) -> Result<char, Error> {
        let high = self.hex()?;
        if !(0xd800..0xdc00).contains(&high) {
            return char::from_u32(high).ok_or_else(|| self.fault("a character"));
        }
        if !self.text[self.at..].starts_with("\\u") {
            return Err(self.fault("the second half of a character"));
        }
        self.at += 2;
        let low = self.hex()?;
        let joined =
            low.checked_sub(0xdc00).filter(|low| *low < 0x400).map(|low| 0x10000 + ((high - 0xd800) << 10) + low);
        joined.and_then(char::from_u32).ok_or_else(|| self.fault("the second half of a character"))
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut value = 0;
        for _ in 0..4 {
            let digit = self.byte().and_then(|byte| char::from(byte).to_digit(16));
            value = value << 4 | digit.ok_or_else(|| self.fault("a hexadecimal digit"))?;
            self.at += 1;
        }
        Ok(value)
    }

    /// Reads past a value.
    pub fn skip(&mut self) -> Result<(), Error> {
        match self.peek() {
            Some(b'"') => self.string().map(drop),
            Some(open @ (b'{' | b'[')) => {
                // In ASCII the closing bracket comes two after the opening one.
                let close = open + 2;
                self.enter()?;
                let mut first = true;
                while self.more(core::mem::take(&mut first), close)? {
                    if open == b'{' {
                        self.string()?;
                        self.expect(b':', "`:`")?;
                    }
                    self.skip()?;
                }
                Ok(())
            }
            Some(b't' | b'f' | b'n') if self.word("true") || self.word("false") || self.word("null") => Ok(()),
            _ => self.number().map(drop),
        }
    }
}
