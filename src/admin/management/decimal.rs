//! Numbers from the text that a caller wrote, exact or not at all: no float is between a form and the ledger.

/// Why a text is not a number that can be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wrong {
    NoNumber,
    /// More fractional digits than are kept.
    TooFine,
    TooLarge,
}

/// Digits before and after the point together that are looked at.
const LONGEST: usize = 400;
/// Exponents beyond this cannot be of a number that is kept, but for zero.
const EXPONENT: i64 = 400;

/// The number as an integer of `10^-digits`. Takes what JSON calls a number, and spaces around it.
pub(super) fn scaled(text: &str, digits: u32) -> Result<i64, Wrong> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, self::exponent(exponent)?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let numeric = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !numeric(whole) || !numeric(fraction) {
        return Err(Wrong::NoNumber);
    }
    if whole.len() + fraction.len() > LONGEST {
        return Err(Wrong::TooLarge);
    }
    let joined = format!("{whole}{fraction}");
    let significant = joined.trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let cut = i64::try_from(joined.len() - significant.len()).unwrap_or(0);
    let fraction = i64::try_from(fraction.len()).unwrap_or(0);
    // How many zeros are missing behind the significant digits to make it an integer of 10^-digits.
    let zeros = i64::from(digits) + exponent - fraction + cut;
    let zeros = u32::try_from(zeros).map_err(|_| if zeros < 0 { Wrong::TooFine } else { Wrong::TooLarge })?;
    let power = 10_i128.checked_pow(zeros).ok_or(Wrong::TooLarge)?;
    let value: i128 = significant.parse().map_err(|_| Wrong::TooLarge)?;
    let value = value.checked_mul(power).ok_or(Wrong::TooLarge)?;
    i64::try_from(if negative { -value } else { value }).map_err(|_| Wrong::TooLarge)
}

fn exponent(text: &str) -> Result<i64, Wrong> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Wrong::NoNumber);
    }
    let size = digits.parse().unwrap_or(EXPONENT).min(EXPONENT);
    Ok(if text.starts_with('-') { -size } else { size })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_exact() {
        for (text, digits, expect) in [
            ("20", 10, Ok(200_000_000_000)),
            ("1.00", 10, Ok(10_000_000_000)),
            ("0.23", 10, Ok(2_300_000_000)),
            (" 0.1 ", 10, Ok(1_000_000_000)),
            ("-0.0000000001", 10, Ok(-1)),
            ("0.0000000001000", 10, Ok(1)),
            ("1e-10", 10, Ok(1)),
            ("1.5E+2", 0, Ok(150)),
            ("1.50e1", 0, Ok(15)),
            ("2.0", 0, Ok(2)),
            ("0e999999999999999999999", 10, Ok(0)),
            ("9223372036854775807", 0, Ok(i64::MAX)),
            ("9223372036854775808", 0, Err(Wrong::TooLarge)),
            ("1e400", 0, Err(Wrong::TooLarge)),
            ("0.00000000001", 10, Err(Wrong::TooFine)),
            ("0.30000000000000004", 10, Err(Wrong::TooFine)),
            ("1e-400", 10, Err(Wrong::TooFine)),
            ("1.5", 0, Err(Wrong::TooFine)),
        ] {
            assert_eq!(scaled(text, digits), expect, "{text}");
        }
        for text in
            ["", " ", "-", ".", "1.", ".5", "+1", "1,5", "0x10", "NaN", "Infinity", "1e", "1e+", "1 2", "١", "--1"]
        {
            assert_eq!(scaled(text, 10), Err(Wrong::NoNumber), "{text}");
        }
        assert_eq!(scaled(&"9".repeat(100_000), 10), Err(Wrong::TooLarge));
    }
}
