//! Keys as text, and the encodings of Deno behind the literals.

use proptest::prelude::*;

use crate::key;
use crate::key::Key;
use crate::key::tests::any_key;

fn parse(text: &str) -> Key {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Measured on Deno 2.9: `literal` is a part as JavaScript writes it, `encoded` what Deno stores.
#[test]
fn literals_are_encoded_as_deno_encodes_them() {
    let vectors = [
        (r#""""#, "02 00"),
        (r#""hello""#, "02 68656c6c6f 00"),
        (r#""a\u0000b""#, "02 61 00ff 62 00"),
        (r#""é""#, "02 c3a9 00"),
        (r#""😀""#, "02 f09f9880 00"),
        (r#""\ud83d\ude00""#, "02 f09f9880 00"),
        (r#""\ud800""#, "02 efbfbd 00"),
        (r#"u8"""#, "01 00"),
        (r#"u8"00ff00""#, "01 00ff ff 00ff 00"),
        ("0n", "14"),
        ("1n", "15 01"),
        ("-1n", "13 fe"),
        ("255n", "15 ff"),
        ("-255n", "13 00"),
        ("256n", "16 0100"),
        ("-256n", "12 feff"),
        ("9223372036854775808n", "1c 8000000000000000"),
        ("18446744073709551615n", "1c ffffffffffffffff"),
        ("18446744073709551616n", "1d 09 010000000000000000"),
        ("-18446744073709551616n", "0b f6 feffffffffffffffff"),
        ("-18446744073709551615n", "0c 0000000000000000"),
        ("0.0", "21 8000000000000000"),
        ("-0.0", "21 7fffffffffffffff"),
        ("1.0", "21 bff0000000000000"),
        ("-1.0", "21 400fffffffffffff"),
        ("0.5", "21 bfe0000000000000"),
        ("NaN", "21 fff8000000000000"),
        ("-NaN", "21 0007ffffffffffff"),
        ("Infinity", "21 fff0000000000000"),
        ("-Infinity", "21 000fffffffffffff"),
        ("5e-324", "21 8000000000000001"),
        ("false", "26"),
        ("true", "27"),
    ];
    for (literal, encoded) in vectors {
        let key = parse(&format!("[{literal}]"));
        assert_eq!(hex(key.encoded()), encoded.replace(' ', ""), "{literal}");
        assert_eq!(parse(&key.to_string()), key, "{literal}");
    }
}

#[test]
fn a_printed_key_shows_kinds_and_escapes() {
    let key = key!["\"\\\n\r\t\u{1}\u{7f}\u{85}\u{2028}é", 42, 42.0, 1e300, -0.0, &[0u8, 255]];
    let text = concat!(
        r#"["\"\\\n\r\t\u0001\u007f\u0085\u2028é", "#,
        r#"42n, 42.0, 1e300, -0.0, u8"00ff"]"#
    );
    assert_eq!(key.to_string(), text);
    assert_eq!(format!("{key:?}"), text);
    assert_eq!(key![].to_string(), "[]");
}

#[test]
fn white_space_escapes_and_a_last_comma_are_read() {
    assert_eq!(parse(" [ ] "), key![]);
    assert_eq!(parse("[\"a\" ,\n 1n,]"), key!["a", 1]);
    assert_eq!(parse(r#"["\"\\\/\b\f\n\r\t\u0041"]"#), key!["\"\\/\u{8}\u{c}\n\r\tA"]);
    assert_eq!(parse(r#"["\ud800\u0041", "\ud800x"]"#), key!["\u{fffd}A", "\u{fffd}x"]);
    assert_eq!(parse("[1E+2, 1e-2, -2.50]"), key![100.0, 0.01, -2.5]);
    assert_eq!(parse(r#"[u8"FFab", -0n, 007n]"#), key![&[0xffu8, 0xab], 0, 7]);
}

#[test]
fn an_error_says_where_and_what_was_expected() {
    let part = "a part: a string, an integer (42n), a float (1.5), true, false or u8\"00ff\"";
    let float = "a float as in 1.5 or 1e-9";
    let byte = "two hexadecimal digits for each byte, or a quotation mark";
    let vectors = [
        ("", "\"[\" at byte 0, found the end"),
        ("users", "\"[\" at byte 0, found 'u'"),
        ("[", &format!("{part} at byte 1, found the end")),
        ("[,]", &format!("{part} at byte 1, found ','")),
        ("[null]", &format!("{part} at byte 1, found 'n'")),
        ("[trueish]", &format!("{part} at byte 1, found 't'")),
        ("[-]", &format!("{part} at byte 1, found '-'")),
        ("[[]]", &format!("{part} at byte 1, found '['")),
        ("[\"é\" x]", "\",\" or \"]\" at byte 6, found 'x'"),
        ("[1n] 2", "the end at byte 5, found '2'"),
        (
            "[1n, 42]",
            "an integer with an n (42n) or a float with a point (42.0) at byte 5, found '4'",
        ),
        ("[1.5n]", "an integer of at most 255 bytes at byte 1, found '1'"),
        ("[1.]", &format!("{float} at byte 1, found '1'")),
        ("[1.5.5]", &format!("{float} at byte 1, found '1'")),
        ("[1e]", &format!("{float} at byte 1, found '1'")),
        ("[1e400]", &format!("{float} at byte 1, found '1'")),
        ("[\"open", "a quotation mark at byte 6, found the end"),
        ("[\"\\x\"]", "an escape: one of \" \\ / b f n r t u at byte 3, found 'x'"),
        ("[\"\\u00g0\"]", "four hexadecimal digits at byte 6, found 'g'"),
        ("[u8\"0\"]", &format!("{byte} at byte 5, found '\"'")),
        ("[u8\"00", &format!("{byte} at byte 6, found the end")),
    ];
    for (text, expected) in vectors {
        let error = text.parse::<Key>().expect_err(text);
        assert_eq!(error.to_string(), format!("expected {expected}"), "{text}");
    }
    let too_large = format!("[1{}n]", "0".repeat(700)).parse::<Key>().unwrap_err();
    assert_eq!((too_large.offset(), too_large.expected()), (1, "an integer of at most 255 bytes"));
    let error = crate::Error::from(too_large);
    assert_eq!(
        (error.kind(), error.text().as_str()),
        (crate::ErrorKind::InvalidArgument, "not a key")
    );
}

proptest! {
    #[test]
    fn what_is_printed_parses_to_the_same_key(key in any_key()) {
        let text = key.to_string();
        prop_assert_eq!(text.parse::<Key>().map_err(|error| format!("{text}: {error}")), Ok(key));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,12}") {
        for text in [text.clone(), format!("[{text}]"), format!("[\"{text}"), format!("[u8\"{text}")] {
            if let Ok(key) = text.parse::<Key>() {
                prop_assert_eq!(key.to_string().parse(), Ok(key));
            }
        }
    }

    #[test]
    fn texts_near_a_literal_do_not_make_the_parser_panic(text in "[\\[\\]\",\\\\u80-9a-f.n e-]{0,16}") {
        if let Ok(key) = text.parse::<Key>() {
            prop_assert_eq!(key.to_string().parse(), Ok(key));
        }
    }
}
