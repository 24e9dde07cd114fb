//! Octets as people write them.

/// Reads a small notation for octets: pairs of hexadecimal digits, `'text'`, and `00*124` for one octet many
/// times. White space only separates.
///
/// # Panics
/// On anything else.
pub(crate) fn octets(notation: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = notation.trim_start();
    while !rest.is_empty() {
        rest = if let Some(text) = rest.strip_prefix('\'') {
            let (text, behind) = text.split_once('\'').expect("a closing quote");
            octets.extend_from_slice(text.as_bytes());
            behind
        } else {
            let end = rest.find([' ', '\n', '\'']).unwrap_or(rest.len());
            let (token, behind) = rest.split_at(end);
            let (digits, times) = token.split_once('*').unwrap_or((token, "1"));
            let piece = pairs(digits);
            octets.extend(piece.repeat(times.parse().expect("a number behind *")));
            behind
        }
        .trim_start();
    }
    octets
}

fn pairs(digits: &str) -> Vec<u8> {
    assert!(digits.len() % 2 == 0, "an odd number of hexadecimal digits: {digits}");
    let pair = |at| u8::from_str_radix(&digits[at..at + 2], 16).expect("hexadecimal digits");
    (0..digits.len()).step_by(2).map(pair).collect()
}
