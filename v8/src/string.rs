//! Strings of JavaScript.
//!
//! A string of JavaScript is a row of 16-bit units and may hold lone surrogates, which no `str`
//! can. Nearly none does. A string is therefore kept as a `str` if it can be one, and as units only
//! if it cannot, so that two equal strings are always kept alike.

use std::borrow::Cow;
use std::fmt;

/// A string of JavaScript.
///
/// ```
/// use icecore_v8::JsString;
///
/// let ice = JsString::from("ís");
/// assert_eq!(ice.as_str(), Some("ís"));
/// assert_eq!(JsString::from_utf16(&[0xed, 0x73]), ice);
/// assert_eq!(JsString::from_utf16(&[0xd800]).as_str(), None);
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JsString(Text);

#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Text {
    Whole(String),
    /// Units that hold a lone surrogate.
    Broken(Vec<u16>),
}

impl JsString {
    /// The string of these 16-bit units, which may hold lone surrogates.
    pub fn from_utf16(units: &[u16]) -> JsString {
        JsString(match String::from_utf16(units) {
            Ok(text) => Text::Whole(text),
            Err(_) => Text::Broken(units.to_vec()),
        })
    }

    /// The string of these bytes, each of which is a character.
    pub fn from_latin1(bytes: &[u8]) -> JsString {
        JsString(Text::Whole(bytes.iter().map(|byte| char::from(*byte)).collect()))
    }

    /// The string, unless it holds a lone surrogate.
    pub fn as_str(&self) -> Option<&str> {
        match &self.0 {
            Text::Whole(text) => Some(text),
            Text::Broken(_) => None,
        }
    }

    /// The string, with U+FFFD for lone surrogates.
    pub fn to_str_lossy(&self) -> Cow<'_, str> {
        match &self.0 {
            Text::Whole(text) => Cow::Borrowed(text),
            Text::Broken(units) => Cow::Owned(String::from_utf16_lossy(units)),
        }
    }

    /// The 16-bit units of the string.
    pub fn to_utf16(&self) -> Vec<u16> {
        match &self.0 {
            Text::Whole(text) => text.encode_utf16().collect(),
            Text::Broken(units) => units.clone(),
        }
    }

    /// The characters, and the lone surrogates as they are.
    pub(crate) fn chars(&self) -> impl Iterator<Item = Result<char, u16>> {
        let (whole, broken) = match &self.0 {
            Text::Whole(text) => (text.as_str(), &[][..]),
            Text::Broken(units) => ("", units.as_slice()),
        };
        let broken = char::decode_utf16(broken.iter().copied());
        whole.chars().map(Ok).chain(broken.map(|unit| unit.map_err(|e| e.unpaired_surrogate())))
    }

    /// The bytes of the string in Latin-1, if every character has one.
    pub(crate) fn to_latin1(&self) -> Option<Vec<u8>> {
        self.as_str()?.chars().map(|c| u8::try_from(c).ok()).collect()
    }
}

impl From<&str> for JsString {
    fn from(text: &str) -> JsString {
        JsString(Text::Whole(text.to_owned()))
    }
}

impl From<String> for JsString {
    fn from(text: String) -> JsString {
        JsString(Text::Whole(text))
    }
}

impl PartialEq<str> for JsString {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == Some(other)
    }
}

impl fmt::Debug for JsString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Text::Whole(text) => text.fmt(f),
            Text::Broken(units) => f.debug_tuple("Broken").field(units).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_strings_are_equal_however_they_came() {
        let text = "a\u{e9}\u{1f9ca}";
        let units: Vec<u16> = text.encode_utf16().collect();
        assert_eq!(JsString::from_utf16(&units), JsString::from(text));
        assert_eq!(JsString::from_latin1(&[0xe9]), JsString::from("\u{e9}"));
    }

    #[test]
    fn a_lone_surrogate_survives() {
        let units = [0x61, 0xd83e, 0x62];
        let string = JsString::from_utf16(&units);
        assert_eq!(string.as_str(), None);
        assert_eq!(string.to_utf16(), units);
        assert_eq!(string.to_str_lossy(), "a\u{fffd}b");
        assert_eq!(string.chars().collect::<Vec<_>>(), [Ok('a'), Err(0xd83e), Ok('b')]);
    }

    #[test]
    fn latin1_is_for_strings_of_its_characters_alone() {
        assert_eq!(JsString::from("\u{ff}").to_latin1(), Some(vec![0xff]));
        assert_eq!(JsString::from("\u{100}").to_latin1(), None);
    }
}
