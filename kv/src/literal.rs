//! Keys as text: `["users", 42n, 1.5, true, u8"00ff"]`.
//!
//! ```text
//! key     := '[' (part (',' part)* ','?)? ']'       with white space around any of these
//! part    := string | integer | float | 'true' | 'false' | bytes
//! string  := '"' (char | '\' escape)* '"'           the escapes of JSON
//! integer := '-'? digit+ 'n'
//! float   := '-'? digit+ ('.' digit+)? (('e' | 'E') ('+' | '-')? digit+)?    not digits alone
//!          | '-'? ('NaN' | 'Infinity')
//! bytes   := 'u8"' (hexdigit hexdigit)* '"'
//! ```
//!
//! 1. What is printed parses to the same key.
//! 2. No text is both an integer and a float: `42n` is one, `42.0` is the other, and `42`, which
//!    JavaScript and Rust read differently, is neither.
//!
//! As in Deno, half of a surrogate pair (`"\ud800"`) becomes U+FFFD.

use std::fmt::{self, Write};
use std::str::FromStr;

use icecore_model::key::{Part, decode};

use crate::error::Error;
use crate::key::{IntoPart, Key};
use crate::lent::KeyRef;

/// Why a text is not a key.
///
/// ```
/// use icecore::Key;
///
/// let error = r#"["user" 42n]"#.parse::<Key>().unwrap_err();
/// assert_eq!(error.to_string(), r#"expected "," or "]" at byte 8, found '4'"#);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseKeyError {
    offset: usize,
    expected: &'static str,
    found: Option<char>,
}

impl ParseKeyError {
    /// Where the text is wrong, in bytes from its start.
    ///
    /// ```
    /// let error = r#"["user""#.parse::<icecore::Key>().unwrap_err();
    /// assert_eq!(error.offset(), 7);
    /// ```
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What should be there.
    ///
    /// ```
    /// let error = "user".parse::<icecore::Key>().unwrap_err();
    /// assert_eq!(error.expected(), "\"[\"");
    /// ```
    pub fn expected(&self) -> &'static str {
        self.expected
    }
}

impl fmt::Display for ParseKeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at byte {}, found ", self.expected, self.offset)?;
        match self.found {
            Some(found) => write!(f, "{found:?}"),
            None => f.write_str("the end"),
        }
    }
}

impl std::error::Error for ParseKeyError {}

impl From<ParseKeyError> for Error {
    fn from(error: ParseKeyError) -> Error {
        Error::invalid("not a key", error.to_string())
    }
}

/// In the form that parses; a damaged key as its bytes.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, self.encoded())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, self.encoded())
    }
}

impl fmt::Debug for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn write_key(f: &mut fmt::Formatter<'_>, encoded: &[u8]) -> fmt::Result {
    let Ok(parts) = decode(encoded) else {
        return write!(f, "malformed key {}", encoded.escape_ascii());
    };
    f.write_str("[")?;
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write_part(f, part)?;
    }
    f.write_str("]")
}

fn write_part(f: &mut fmt::Formatter<'_>, part: &Part) -> fmt::Result {
    match part {
        Part::Bytes(bytes) => {
            f.write_str("u8\"")?;
            bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
            f.write_char('"')
        }
        Part::String(text) => write_string(f, text),
        Part::Int(int) => write!(f, "{int}n"),
        Part::Float(number) => write_float(f, *number),
        Part::Bool(truth) => write!(f, "{truth}"),
    }
}

fn write_string(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for char in text.chars() {
        match char {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            // Line ends for JavaScript, but not control characters for Unicode.
            '\u{2028}' | '\u{2029}' => write!(f, "\\u{:04x}", u32::from(char))?,
            control if control.is_control() => write!(f, "\\u{:04x}", u32::from(control))?,
            plain => f.write_char(plain)?,
        }
    }
    f.write_char('"')
}

fn write_float(f: &mut fmt::Formatter<'_>, number: f64) -> fmt::Result {
    let sign = if number.is_sign_negative() { "-" } else { "" };
    if number.is_nan() {
        write!(f, "{sign}NaN")
    } else if number.is_infinite() {
        write!(f, "{sign}Infinity")
    } else {
        // As short as the number allows, and always with a point or an exponent.
        write!(f, "{number:?}")
    }
}

impl FromStr for Key {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Key, ParseKeyError> {
        let mut parser = Parser { text, offset: 0 };
        let key = parser.key()?;
        parser.skip_space();
        if parser.offset < text.len() { Err(parser.expected("the end")) } else { Ok(key) }
    }
}

/// Goes through the text. Every step either moves on or fails.
struct Parser<'t> {
    text: &'t str,
    offset: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.offset..]
    }

    fn expected(&self, expected: &'static str) -> ParseKeyError {
        ParseKeyError { offset: self.offset, expected, found: self.rest().chars().next() }
    }

    fn skip_space(&mut self) {
        self.offset = self.text.len() - self.rest().trim_start().len();
    }

    /// Goes past `token`, if it comes next.
    fn take(&mut self, token: &str) -> bool {
        let comes = self.rest().starts_with(token);
        if comes {
            self.offset += token.len();
        }
        comes
    }

    fn key(&mut self) -> Result<Key, ParseKeyError> {
        self.skip_space();
        if !self.take("[") {
            return Err(self.expected("\"[\""));
        }
        let mut key = Key::new();
        loop {
            self.skip_space();
            if self.take("]") {
                return Ok(key);
            }
            key = key.with(self.part()?);
            self.skip_space();
            if !self.take(",") && !self.rest().starts_with(']') {
                return Err(self.expected("\",\" or \"]\""));
            }
        }
    }

    fn part(&mut self) -> Result<Part, ParseKeyError> {
        if self.take("\"") {
            return self.string().map(IntoPart::into_part);
        }
        if self.take("u8\"") {
            return self.bytes().map(IntoPart::into_part);
        }
        let part = word_part(self.word()).map_err(|expected| self.expected(expected))?;
        self.offset += self.word().len();
        Ok(part)
    }

    /// What comes next and could be a number or a name.
    fn word(&self) -> &'t str {
        let in_word = |char: char| char.is_alphanumeric() || matches!(char, '+' | '-' | '.' | '_');
        let rest = self.rest();
        let end = rest.find(|char| !in_word(char)).unwrap_or(rest.len());
        &rest[..end]
    }

    /// The content of a string, behind its opening quote.
    fn string(&mut self) -> Result<String, ParseKeyError> {
        let mut content = String::new();
        loop {
            let Some(end) = self.rest().find(['"', '\\']) else {
                self.offset = self.text.len();
                return Err(self.expected("a quotation mark"));
            };
            content.push_str(&self.rest()[..end]);
            self.offset += end;
            if self.take("\"") {
                return Ok(content);
            }
            self.offset += 1;
            content.push(self.escape()?);
        }
    }

    /// What an escape stands for, behind its backslash.
    fn escape(&mut self) -> Result<char, ParseKeyError> {
        let wrong = self.expected("an escape: one of \" \\ / b f n r t u");
        let char = self.rest().chars().next().ok_or(wrong)?;
        let plain = match char {
            '"' | '\\' | '/' => char,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'u' => {
                self.offset += 1;
                return self.unicode();
            }
            _ => return Err(wrong),
        };
        self.offset += 1;
        Ok(plain)
    }

    /// The character of one or two `\uXXXX`, behind the first `u`.
    fn unicode(&mut self) -> Result<char, ParseKeyError> {
        let first = self.unit()?;
        let second = Parser { text: self.text, offset: self.offset };
        let pair = match (0xd800..0xdc00).contains(&first) {
            true => second.low_surrogate(),
            false => None,
        };
        let Some(low) = pair else {
            return Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER));
        };
        self.offset += "\\uXXXX".len();
        let code = 0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00);
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    /// The second half of a surrogate pair, if it comes next.
    fn low_surrogate(mut self) -> Option<u32> {
        let unit = self.take("\\u").then(|| self.unit())?.ok()?;
        (0xdc00..0xe000).contains(&unit).then_some(unit)
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, ParseKeyError> {
        let mut unit = 0;
        for _ in 0..4 {
            unit = unit << 4 | self.hex_digit("four hexadecimal digits")?;
        }
        Ok(unit)
    }

    fn hex_digit(&mut self, expected: &'static str) -> Result<u32, ParseKeyError> {
        let digit = self.rest().chars().next().and_then(|char| char.to_digit(16));
        let digit = digit.ok_or_else(|| self.expected(expected))?;
        self.offset += 1;
        Ok(digit)
    }

    /// The bytes of hexadecimal digits, behind the opening quote.
    fn bytes(&mut self) -> Result<Vec<u8>, ParseKeyError> {
        const EXPECTED: &str = "two hexadecimal digits for each byte, or a quotation mark";
        let mut bytes = Vec::new();
        while !self.take("\"") {
            let (high, low) = (self.hex_digit(EXPECTED)?, self.hex_digit(EXPECTED)?);
            bytes.push(u8::try_from(high << 4 | low).expect("two digits are one byte"));
        }
        Ok(bytes)
    }
}

/// The part that a word stands for, or what was expected instead.
fn word_part(word: &str) -> Result<Part, &'static str> {
    match word {
        "true" => return Ok(Part::Bool(true)),
        "false" => return Ok(Part::Bool(false)),
        "NaN" => return Ok(Part::Float(f64::NAN.copysign(1.0))),
        "-NaN" => return Ok(Part::Float(f64::NAN.copysign(-1.0))),
        "Infinity" => return Ok(Part::Float(f64::INFINITY)),
        "-Infinity" => return Ok(Part::Float(f64::NEG_INFINITY)),
        _ => {}
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    if !digits.starts_with(|first: char| first.is_ascii_digit()) {
        return Err("a part: a string, an integer (42n), a float (1.5), true, false or u8\"00ff\"");
    }
    if let Some(integer) = word.strip_suffix('n') {
        return integer.parse().map(Part::Int).map_err(|_| "an integer of at most 255 bytes");
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("an integer with an n (42n) or a float with a point (42.0)");
    }
    match word.parse() {
        Ok(number) if is_float(digits) && f64::is_finite(number) => Ok(Part::Float(number)),
        _ => Err("a float as in 1.5 or 1e-9"),
    }
}

/// Whether the grammar has it; Rust's own parser also takes `1.` and `1e400`.
fn is_float(digits: &str) -> bool {
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent),
        None => (digits, "0"),
    };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    all_digits(whole) && all_digits(fraction) && all_digits(exponent)
}

#[cfg(test)]
mod tests;
