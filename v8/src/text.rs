//! Numbers and times as JavaScript prints them.

use std::fmt::Write;

/// The number as `String(number)` gives it, but `-0` for what that calls `0`.
///
/// The digits are the fewest that mean this number, which Rust's formatting finds as well; where
/// the point goes, and from when on an exponent is used, is ECMAScript's `Number::toString`.
pub(crate) fn number(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let shortest = format!("{:e}", number.abs());
    let fraction_digits = shortest.find('e').unwrap_or(1).saturating_sub(2);
    // Of two that are as short and as near, JavaScript takes the even one, as this rounding does.
    let scientific = format!("{:.fraction_digits$e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits = mantissa.replace('.', "");
    // The value is 0.digits × 10^point.
    let point = exponent.parse::<i32>().unwrap_or(0) + 1;
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let sign = if number.is_sign_negative() { "-" } else { "" };
    let split = usize::try_from(point).unwrap_or(0);
    match point {
        _ if (count..=21).contains(&point) => {
            format!("{sign}{digits}{}", "0".repeat(split - digits.len()))
        }
        1..=21 => format!("{sign}{}.{}", &digits[..split], &digits[split..]),
        -5..=0 => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{sign}{first}{dot}{rest}e{:+}", point - 1)
        }
    }
}

/// The furthest time that a `Date` can hold, in milliseconds from 1970 either way.
const TIME_MS_MAX: f64 = 8.64e15;

/// The time as `Date.prototype.toISOString` gives it, if it is one.
pub(crate) fn date(time_ms: f64) -> Option<String> {
    if time_ms.is_nan() || time_ms.abs() > TIME_MS_MAX {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "compared with its limit")]
    let time_ms = time_ms as i64;
    let (year, month, day) = civil(time_ms.div_euclid(86_400_000));
    let ms = time_ms.rem_euclid(86_400_000);
    let mut text = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{year:+07}"),
    };
    let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
    write!(text, "-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
        .expect("a string takes everything");
    Some(text)
}

/// Year, month and day of the day that is `days` after 1970-01-01, by the algorithm of Howard
/// Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, so that the day
/// that is sometimes there is their last.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_in_javascript() {
        let table = [
            (0.0, "0"),
            (-0.0, "-0"),
            (5.0, "5"),
            (-5.25, "-5.25"),
            (0.1, "0.1"),
            (1e-6, "0.000001"),
            (1e-7, "1e-7"),
            (1.5e-7, "1.5e-7"),
            (123456789012345680000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (1.25e300, "1.25e+300"),
            (5e-324, "5e-324"),
            (207_156_554_053_114.63, "207156554053114.62"),
            (9007199254740993.0, "9007199254740992"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in table {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn times_look_as_in_javascript() {
        let table = [
            (0.0, "1970-01-01T00:00:00.000Z"),
            (-1.0, "1969-12-31T23:59:59.999Z"),
            (951_782_400_000.0, "2000-02-29T00:00:00.000Z"),
            (1_700_000_000_123.0, "2023-11-14T22:13:20.123Z"),
            (8.64e15, "+275760-09-13T00:00:00.000Z"),
            (-8.64e15, "-271821-04-20T00:00:00.000Z"),
        ];
        for (time, text) in table {
            assert_eq!(date(time).as_deref(), Some(text));
        }
        assert_eq!(date(f64::NAN), None);
        assert_eq!(date(8.65e15), None);
    }
}
