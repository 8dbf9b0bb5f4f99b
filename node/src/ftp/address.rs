//! Addresses of data connections, as commands and replies write them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};

/// Reads the argument of PORT, RFC 959 §5.3.2: six numbers.
#[must_use]
pub fn parse_port(text: &str) -> Option<SocketAddrV4> {
    let mut numbers = [0_u8; 6];
    let mut parts = text.split(',');
    for number in &mut numbers {
        let part = parts.next()?.trim();
        if part.is_empty() || !part.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *number = part.parse().ok()?;
    }
    if parts.next().is_some() {
        return None;
    }
    let [a, b, c, d, high, low] = numbers;
    Some(SocketAddrV4::new(
        Ipv4Addr::new(a, b, c, d),
        u16::from_be_bytes([high, low]),
    ))
}

/// Why an argument of EPRT is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EprtError {
    /// It is no such argument.
    Malformed,
    /// A family that does not exist here.
    Family,
}

/// Reads the argument of EPRT, RFC 2428 §2: `<d>family<d>address<d>port<d>`.
///
/// # Errors
///
/// See [`EprtError`].
pub fn parse_eprt(text: &str) -> Result<SocketAddr, EprtError> {
    let delimiter = text.chars().next().ok_or(EprtError::Malformed)?;
    if !('\u{21}'..='\u{7e}').contains(&delimiter) {
        return Err(EprtError::Malformed);
    }
    let mut parts = text.split(delimiter);
    let (Some(""), Some(family), Some(address), Some(port), Some(""), None) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(EprtError::Malformed);
    };
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(EprtError::Malformed);
    }
    let port = port.parse().map_err(|_| EprtError::Malformed)?;
    let address: IpAddr = match family {
        "1" => IpAddr::V4(address.parse().map_err(|_| EprtError::Malformed)?),
        "2" => IpAddr::V6(address.parse().map_err(|_| EprtError::Malformed)?),
        _ => return Err(EprtError::Family),
    };
    Ok(SocketAddr::new(address, port))
}

/// The six numbers of a PASV reply.
#[must_use]
pub fn six_numbers(address: Ipv4Addr, port: u16) -> String {
    let [a, b, c, d] = address.octets();
    let [high, low] = port.to_be_bytes();
    format!("{a},{b},{c},{d},{high},{low}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn arguments_are_read_strictly() {
        assert_eq!(parse_port("10,0,0,1,4,1"), Some("10.0.0.1:1025".parse().unwrap()));
        for bad in [
            "",
            "1,2,3,4,5",
            "1,2,3,4,5,6,7",
            "256,0,0,1,4,1",
            "+1,2,3,4,5,6",
            "a,2,3,4,5,6",
            "1,2,3,4,,6",
        ] {
            assert_eq!(parse_port(bad), None, "{bad}");
        }
        assert_eq!(
            parse_eprt("|1|10.0.0.1|1025|"),
            Ok("10.0.0.1:1025".parse().unwrap())
        );
        assert_eq!(parse_eprt("!2!::1!1025!"), Ok("[::1]:1025".parse().unwrap()));
        assert_eq!(parse_eprt("|3|x|1|"), Err(EprtError::Family));
        for bad in [
            "",
            "|",
            "|1|10.0.0.1|1025",
            "|1|::1|1025|",
            "|2|10.0.0.1|1|",
            "|1|10.0.0.1|65536|",
            "|1|a|1||",
            "é1é",
        ] {
            assert_eq!(parse_eprt(bad), Err(EprtError::Malformed), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_argument_upsets_a_parser(text in "\\PC{0,40}") {
            let _ = parse_port(&text);
            let _ = parse_eprt(&text);
        }

        #[test]
        fn what_is_written_is_read(address in any::<[u8; 4]>(), port in any::<u16>()) {
            let address = Ipv4Addr::from(address);
            prop_assert_eq!(parse_port(&six_numbers(address, port)), Some(SocketAddrV4::new(address, port)));
            let shown = format!("|1|{address}|{port}|");
            prop_assert_eq!(parse_eprt(&shown), Ok((address, port).into()));
        }
    }
}
