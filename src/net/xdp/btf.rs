//! The number of a function in the kernel's type information (BTF), by which a program may call it
//! (Documentation/bpf/btf.rst). Pure and total.

/// Where the kernel shows its type information.
pub(super) const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";

/// What the header begins with.
const MAGIC: u16 = 0xEB9F;
const KIND_FUNCTION: u32 = 12;

/// The number of the function named `wanted`; `None` if there is none, or if `bytes` are no type information.
pub(super) fn function(bytes: &[u8], wanted: &str) -> Option<i32> {
    let word = |bytes: &[u8], at: usize| -> Option<u32> {
        bytes.get(at..)?.first_chunk::<4>().map(|word| u32::from_ne_bytes(*word))
    };
    let place = |at: usize| usize::try_from(word(bytes, at)?).ok();
    if bytes.first_chunk::<2>().map(|magic| u16::from_ne_bytes(*magic)) != Some(MAGIC) {
        return None;
    }
    let header = place(4)?;
    let (types_at, types_bytes) = (header.checked_add(place(8)?)?, place(12)?);
    let strings = bytes.get(header.checked_add(place(16)?)?..)?;
    let types = bytes.get(types_at..types_at.checked_add(types_bytes)?)?;
    let is_wanted = |name: u32| {
        let rest = usize::try_from(name).ok().and_then(|name| strings.get(name..));
        rest.and_then(|rest| rest.strip_prefix(wanted.as_bytes())).and_then(<[u8]>::first)
            == Some(&0)
    };
    let (mut at, mut number) = (0, 1);
    while at < types.len() {
        let (name, info) = (word(types, at)?, word(types, at + 4)?);
        let kind = (info >> 24) & 0x1F;
        if kind == KIND_FUNCTION && is_wanted(name) {
            return Some(number);
        }
        at += 12 + bytes_behind(kind, info & 0xFFFF)?;
        number += 1;
    }
    None
}

/// Bytes that follow the common part of a type with `count` members; `None` for a kind that is not known.
fn bytes_behind(kind: u32, count: u32) -> Option<usize> {
    let count = usize::try_from(count).ok()?;
    Some(match kind {
        // Void, pointer, forward, typedef, volatile, const, restrict, function, float, type tag.
        0 | 2 | 7..=12 | 16 | 18 => 0,
        // Integer, variable, declaration tag.
        1 | 14 | 17 => 4,
        // Array.
        3 => 12,
        // Struct, union, data section, 64-bit enumeration.
        4 | 5 | 15 | 19 => 12 * count,
        // Enumeration, function prototype.
        6 | 13 => 8 * count,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type information of these types: name, kind, members.
    fn made(types: &[(&str, u32, u32)]) -> Vec<u8> {
        let (mut strings, mut body) = (vec![0_u8], Vec::new());
        for (name, kind, count) in types {
            let at = u32::try_from(strings.len()).expect("short");
            strings.extend_from_slice(name.as_bytes());
            strings.push(0);
            for word in [at, (kind << 24) | count, 0] {
                body.extend_from_slice(&word.to_ne_bytes());
            }
            body.resize(body.len() + bytes_behind(*kind, *count).expect("known"), 0xAA);
        }
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("short");
        let mut bytes = MAGIC.to_ne_bytes().to_vec();
        bytes.extend_from_slice(&[1, 0]);
        for word in [24, 0, length(&body), length(&body), length(&strings)] {
            bytes.extend_from_slice(&word.to_ne_bytes());
        }
        [bytes, body, strings].concat()
    }

    #[test]
    fn a_function_is_found_behind_types_of_every_kind() {
        let mut types: Vec<(&str, u32, u32)> = (1..=19).map(|kind| ("other", kind, 3)).collect();
        types.push(("want", 13, 2)); // a prototype of that name is no function
        types.push(("wanted_not", KIND_FUNCTION, 0));
        types.push(("want", KIND_FUNCTION, 0));
        let bytes = made(&types);
        assert_eq!(function(&bytes, "want"), Some(22));
        assert_eq!(function(&bytes, "wan"), None);
        for cut in 0..bytes.len() {
            let _ = function(&bytes[..cut], "want");
        }
    }

    #[test]
    fn what_is_no_type_information_has_no_functions() {
        assert_eq!(function(&[], "x"), None);
        assert_eq!(function(&[0xFF; 64], "x"), None);
        let mut far = made(&[("x", KIND_FUNCTION, 0)]);
        far[8..12].fill(0xFF);
        assert_eq!(function(&far, "x"), None);
    }
}
