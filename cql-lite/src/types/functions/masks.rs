//! The functions that hide a value: `mask_null`, `mask_default`, `mask_replace`, `mask_inner`,
//! `mask_outer` and `mask_hash`. A mask keeps the type of what it hides, but for the hash.

use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};

use super::ScalarFunction;
use super::resolve::{Argument, known_type};
use super::time::min_timeuuid;
use crate::types::error::{Result, ValueError};
use crate::types::frames::{CollectionBuilder, put_framed, put_vector_element};
use crate::types::{CqlType, fixed};

/// What stands for a text.
const TEXT_MASK: &[u8] = b"****";
/// What stands for a character.
const PADDING: char = '*';
/// The hash that is taken if none is named.
const DEFAULT_HASH: &str = "SHA-256";

/// The function of this name for these arguments; none if no mask is called so.
pub(super) fn resolve(name: &str, arguments: &[Argument]) -> Result<Option<ScalarFunction>> {
    let function = match (name, arguments) {
        ("mask_null", [value]) => {
            let ty = known_type(name, value)?;
            ScalarFunction::new(name, vec![ty.clone()], ty, |_| Ok(None))
        }
        ("mask_default", [value]) => {
            let ty = known_type(name, value)?;
            let mask = default_of(&ty)?;
            ScalarFunction::new(name, vec![ty.clone()], ty, move |_| Ok(Some(mask.clone())))
        }
        ("mask_replace", [value, replacement]) => {
            // Either of the two may say of what type both are.
            let ty = known_type(name, value).or_else(|_| known_type(name, replacement))?;
            check(name, replacement, &ty)?;
            ScalarFunction::new(name, vec![ty.clone(), ty.clone()], ty, |values| {
                Ok(values.get(1).copied().flatten().map(<[u8]>::to_vec))
            })
        }
        ("mask_inner", [value, rest @ ..]) if matches!(rest.len(), 2 | 3) => {
            partial(name, value, rest, |at, begin, end| at >= begin && at <= end)?
        }
        ("mask_outer", [value, rest @ ..]) if matches!(rest.len(), 2 | 3) => {
            partial(name, value, rest, |at, begin, end| at < begin || at > end)?
        }
        ("mask_hash", [value, rest @ ..]) if rest.len() < 2 => {
            let mut types = vec![known_type(name, value)?];
            for algorithm in rest {
                check(name, algorithm, &CqlType::Text)?;
                types.push(CqlType::Text);
            }
            ScalarFunction::new(name, types, CqlType::Blob, |values| {
                let algorithm = values.get(1).copied().flatten();
                let algorithm = algorithm.map(String::from_utf8_lossy);
                let algorithm = algorithm.as_deref().unwrap_or(DEFAULT_HASH);
                let hash = hash_of(algorithm, values.first().copied().flatten())?;
                Ok(hash)
            })
        }
        _ => {
            return parameters(name).map_or(Ok(None), |parameters| {
                Err(ValueError::invalid(format!(
                    "Invalid number of arguments for function system.{name}({parameters})"
                )))
            });
        }
    };
    Ok(Some(function))
}

/// What a mask takes, as errors show it; none if no mask is called so.
fn parameters(name: &str) -> Option<&'static str> {
    Some(match name {
        "mask_null" | "mask_default" => "any",
        "mask_replace" => "any, same",
        "mask_inner" | "mask_outer" => "[text|varchar|ascii], int, int, [text]",
        "mask_hash" => "any, [text]",
        _ => return None,
    })
}

fn wrong_type(name: &str, wanted: &str, argument: &Argument) -> ValueError {
    let text = &argument.text;
    let found = argument.own_type().map_or_else(|| "unknown".to_owned(), |ty| ty.to_string());
    ValueError::invalid(format!(
        "Function system.{name} requires an argument of type {wanted}, but found argument {text} \
         of type {found}"
    ))
}

fn check(name: &str, argument: &Argument, ty: &CqlType) -> Result<()> {
    if argument.fits(ty) { Ok(()) } else { Err(wrong_type(name, &ty.to_string(), argument)) }
}

/// `mask_inner` and `mask_outer`: `hides` is given the place of a character, the first place
/// behind the beginning, and the last before the end.
fn partial(
    name: &str,
    value: &Argument,
    rest: &[Argument],
    hides: fn(i64, i64, i64) -> bool,
) -> Result<ScalarFunction> {
    let ty = known_type(name, value)?;
    if !matches!(ty, CqlType::Text | CqlType::Ascii) {
        return Err(wrong_type(name, "[text|varchar|ascii]", value));
    }
    let mut types = vec![ty.clone()];
    for (argument, wanted) in rest.iter().zip([CqlType::Int, CqlType::Int, CqlType::Text]) {
        check(name, argument, &wanted)?;
        types.push(wanted);
    }
    let (called, is_ascii) = (name.to_owned(), ty == CqlType::Ascii);
    Ok(ScalarFunction::new(name, types, ty, move |values| {
        let value = |index: usize| values.get(index).copied().flatten();
        let Some(text) = value(0) else { return Ok(None) };
        let text = std::str::from_utf8(text)
            .map_err(|_| ValueError::invalid("String didn't validate."))?;
        let number = |index| value(index).filter(|bytes| !bytes.is_empty()).and_then(fixed::to_i32);
        let begin = i64::from(number(1).unwrap_or(0));
        let end = i64::from(number(2).unwrap_or(0));
        let padding = match value(3) {
            None => PADDING,
            Some(padding) => single(&called, padding)?,
        };
        let padding = if is_ascii && !padding.is_ascii() { '?' } else { padding };
        let last = text.chars().count() as i64 - 1 - end;
        let masked = (0_i64..).zip(text.chars());
        let masked = masked.map(|(at, char)| if hides(at, begin, last) { padding } else { char });
        Ok(Some(masked.collect::<String>().into_bytes()))
    }))
}

/// The one character of a padding.
fn single(name: &str, padding: &[u8]) -> Result<char> {
    let text = String::from_utf8_lossy(padding);
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(padding), None) => Ok(padding),
        _ => Err(ValueError::invalid(format!(
            "The padding argument for function system.{name} should be single-character, but \
             '{text}' has {} characters.",
            text.chars().count()
        ))),
    }
}

fn hash_of(algorithm: &str, value: Option<&[u8]>) -> Result<Option<Vec<u8>>> {
    let hash: fn(&[u8]) -> Vec<u8> = match algorithm.to_ascii_uppercase().as_str() {
        "MD5" => |bytes| Md5::digest(bytes).to_vec(),
        "SHA" | "SHA1" | "SHA-1" => |bytes| Sha1::digest(bytes).to_vec(),
        "SHA-224" => |bytes| Sha224::digest(bytes).to_vec(),
        "SHA-256" => |bytes| Sha256::digest(bytes).to_vec(),
        "SHA-384" => |bytes| Sha384::digest(bytes).to_vec(),
        "SHA-512" => |bytes| Sha512::digest(bytes).to_vec(),
        "SHA-512/224" => |bytes| Sha512_224::digest(bytes).to_vec(),
        "SHA-512/256" => |bytes| Sha512_256::digest(bytes).to_vec(),
        _ => return Err(ValueError::invalid(format!("Hash algorithm not found: {algorithm}"))),
    };
    Ok(value.map(hash))
}

/// The most bytes that stand for a value: a vector can have two billion elements.
const MASK_BYTES_MAX: usize = 1 << 20;

fn check_length(mask: &[u8]) -> Result<()> {
    if mask.len() <= MASK_BYTES_MAX {
        return Ok(());
    }
    Err(ValueError::invalid(format!(
        "Function system.mask_default cannot give a value of more than {MASK_BYTES_MAX} bytes"
    )))
}

/// What stands for a value of a type, whatever the value.
fn default_of(ty: &CqlType) -> Result<Vec<u8>> {
    let framed = |parts: &mut dyn Iterator<Item = &CqlType>| {
        let mut out = Vec::new();
        for part in parts {
            put_framed(&mut out, Some(&default_of(part)?));
            check_length(&out)?;
        }
        Ok(out)
    };
    Ok(match ty {
        CqlType::Ascii | CqlType::Text => TEXT_MASK.to_vec(),
        CqlType::Bigint | CqlType::Counter | CqlType::Double => vec![0; 8],
        CqlType::Time | CqlType::Timestamp => vec![0; 8],
        CqlType::Int | CqlType::Float | CqlType::Inet => vec![0; 4],
        CqlType::Smallint => vec![0; 2],
        CqlType::Boolean | CqlType::Tinyint | CqlType::Varint => vec![0],
        // No scale, and a zero.
        CqlType::Decimal => vec![0; 5],
        // No months, days and nanoseconds, a byte each.
        CqlType::Duration => vec![0; 3],
        // Days are counted from the middle of their range, which is 1970-01-01.
        CqlType::Date => vec![0x80, 0, 0, 0],
        CqlType::Uuid => vec![0; 16],
        CqlType::Timeuuid => min_timeuuid(0).to_vec(),
        CqlType::List(_) | CqlType::Set(_) | CqlType::Map(..) => CollectionBuilder::new().finish(),
        CqlType::Tuple(parts) => framed(&mut parts.iter())?,
        CqlType::Udt(udt) => framed(&mut udt.fields.iter().map(|(_, ty)| ty))?,
        CqlType::Vector(element, dimensions) => {
            let (mut out, part) = (Vec::new(), default_of(element)?);
            for _ in 0..*dimensions {
                put_vector_element(&mut out, element, &part);
                check_length(&out)?;
            }
            out
        }
        CqlType::Frozen(inner) => default_of(inner)?,
        CqlType::Blob | CqlType::Empty | CqlType::Custom(_) => Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::validate::validate;

    #[test]
    fn the_mask_of_every_type_is_a_value_of_it() {
        use CqlType::*;
        let boxed = |ty: CqlType| Box::new(ty);
        let plain = [
            Ascii, Bigint, Blob, Boolean, Date, Decimal, Double, Duration, Float, Inet, Int,
            Smallint, Text, Time, Timestamp, Timeuuid, Tinyint, Uuid, Varint,
        ];
        for ty in &plain {
            validate(ty, &default_of(ty).unwrap()).unwrap();
        }
        let all = Tuple(plain.to_vec());
        validate(&all, &default_of(&all).unwrap()).unwrap();
        let vector = |dimensions| Vector(boxed(Text), dimensions);
        validate(&vector(3), &default_of(&vector(3)).unwrap()).unwrap();
        assert!(default_of(&vector(2_000_000_000)).is_err());
        assert!(default_of(&Vector(boxed(vector(1000)), 1000)).is_err());
        let list = List(boxed(all.clone()));
        assert_eq!(default_of(&Frozen(boxed(list))).unwrap(), [0; 4]);
    }

    #[test]
    fn hashes_have_known_values() {
        let hex = |algorithm| {
            let hash = hash_of(algorithm, Some(b"abc")).unwrap().unwrap();
            hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(hex("MD5"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(hex("sha-1"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert_eq!(
            hex("SHA-256"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hex("SHA-512").len(), 128);
        assert_eq!(hex("SHA-224"), "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7");
        let unknown = hash_of("CRC-7", None).unwrap_err();
        assert_eq!(unknown.message, "Hash algorithm not found: CRC-7");
    }
}
