//! Sizes on the command line: powers of 1024.

const UNITS: [(char, u32); 4] = [('k', 10), ('m', 20), ('g', 30), ('t', 40)];

/// `4096`, `256k`, `16M`, `1GiB`.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let (digits, bits) = match text.strip_suffix("iB") {
        // Bytes of no unit have no `iB`.
        Some(short) => unit(short).unwrap_or(("", 0)),
        None => unit(text).unwrap_or((text, 0)),
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return Err("expected a number of bytes, such as 65536, 64k, or 16M".to_owned());
    }
    let number: Option<u64> = digits.parse().ok();
    number
        .and_then(|number| number.checked_mul(1 << bits))
        .ok_or_else(|| format!("expected at most {} bytes", u64::MAX))
}

/// The number and the unit behind it, if there is one.
fn unit(text: &str) -> Option<(&str, u32)> {
    UNITS.iter().find_map(|(letter, bits)| Some((text.strip_suffix([*letter, letter.to_ascii_uppercase()])?, *bits)))
}

/// The size of a disk.
pub(crate) fn disk(text: &str) -> Result<u64, String> {
    match bytes(text) {
        Ok(size) if i64::try_from(size).is_ok() => Ok(size),
        // The specification has 64 bits, but systems use one of them for the sign.
        Ok(_) => Err(format!("expected at most {} bytes, which is as far as clients can reach", i64::MAX)),
        Err(error) => Err(error),
    }
}

/// Shows a size with the largest unit that leaves no remainder: `10M`, `1000`.
pub(crate) fn human(size: u64) -> String {
    let mut number = size;
    let mut units = ["", "K", "M", "G", "T", "P", "E"].iter();
    let mut unit = units.next();
    while number != 0 && number % 1024 == 0 {
        number /= 1024;
        unit = units.next();
    }
    format!("{number}{}", unit.unwrap_or(&""))
}

#[cfg(test)]
mod tests {
    use super::{bytes, disk, human};

    #[test]
    fn suffixes_multiply() {
        for (text, size) in [
            ("0", 0),
            ("65536", 65536),
            ("64k", 65536),
            ("64K", 65536),
            ("64KiB", 65536),
            ("16M", 16 << 20),
            ("16m", 16 << 20),
            ("3G", 3 << 30),
            ("3GiB", 3 << 30),
            ("5T", 5 << 40),
            ("18446744073709551615", u64::MAX),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_bytes_is_refused() {
        for wrong in
            ["", "k", "iB", "5iB", "5kB", "5KIB", "-1", "+1", "1x", "1 k", " 1", "0x10", "1.5G", "1é", "é", "1kk"]
        {
            assert!(bytes(wrong).is_err_and(|error| error.contains("a number of bytes")), "{wrong}");
        }
    }

    #[test]
    fn what_is_too_much_is_told_so() {
        for wrong in ["18446744073709551616", "99999999999999999999", "16777216T"] {
            assert!(bytes(wrong).is_err_and(|error| error.contains("at most")), "{wrong}");
        }
    }

    #[test]
    fn a_disk_ends_where_clients_cannot_count_on() {
        assert_eq!(disk("8388607T"), Ok(8_388_607 << 40));
        assert_eq!(disk("9223372036854775807"), Ok(i64::MAX.unsigned_abs()));
        assert!(disk("8388608T").is_err_and(|error| error.contains("at most")));
        assert!(disk("many").is_err());
    }

    #[test]
    fn sizes_have_the_largest_unit_that_divides_them() {
        for (size, shown) in [
            (0, "0"),
            (1000, "1000"),
            (1024, "1K"),
            (10 << 20, "10M"),
            (2_125_119_488, "2075312K"),
            (3 << 40, "3T"),
            (1 << 63, "8E"),
            (u64::MAX, "18446744073709551615"),
        ] {
            assert_eq!(human(size), shown);
        }
    }
}
