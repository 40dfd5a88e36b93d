//! The bytes of a GGUF file, bounded: nothing is allocated on the word of a length that the file cannot hold.

use candle_core::{
    Device,
    quantized::{GgmlDType, ggml_file::qtensor_from_ggml},
};
use std::{collections::BTreeMap, ops::Range};

const ALIGNMENT: usize = 32;
const DIMENSIONS_MAX: u32 = 4;
/// Arrays within arrays deeper than this are refused.
const DEPTH_MAX: usize = 4;
const Q8_0_BLOCK_BYTES: usize = 34;
/// Elements of an array that are kept; the largest vocabularies have a quarter of it.
const KEPT_MAX: u64 = 1 << 22;

/// What is wrong, and where.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) at: usize,
    pub(super) expected: String,
    pub(super) found: String,
}

/// A metadata value, as far as this crate reads it.
#[derive(Debug, PartialEq)]
pub(super) enum Field {
    Whole(u64),
    Number(f64),
    Text(String),
    Truth(bool),
    Texts(Vec<String>),
    Wholes(Vec<i64>),
    Numbers(Vec<f32>),
    /// A negative number or another array: checked and passed over.
    Other,
}

/// The element types of ggml that can be read here.
///
/// SPEC: ggml `docs/gguf.md`, `ggml_type`.
pub(super) const fn ggml(kind: u32) -> Option<GgmlDType> {
    Some(match kind {
        0 => GgmlDType::F32,
        1 => GgmlDType::F16,
        2 => GgmlDType::Q4_0,
        3 => GgmlDType::Q4_1,
        6 => GgmlDType::Q5_0,
        7 => GgmlDType::Q5_1,
        8 => GgmlDType::Q8_0,
        10 => GgmlDType::Q2K,
        11 => GgmlDType::Q3K,
        12 => GgmlDType::Q4K,
        13 => GgmlDType::Q5K,
        14 => GgmlDType::Q6K,
        30 => GgmlDType::BF16,
        _ => return None,
    })
}

/// The number of a type; those that `ggml` does not know are written as F32's and never made here.
pub(super) fn ggml_number(kind: GgmlDType) -> u32 {
    (0..=30).find(|number| ggml(*number) == Some(kind)).unwrap_or(0)
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) shape: Vec<usize>,
    /// Number of its ggml type.
    pub(super) kind: u32,
    /// From the start of the data.
    offset: u64,
    /// Where the header names it.
    pub(super) at: usize,
}

#[derive(Debug)]
pub(super) struct Header {
    fields: BTreeMap<String, Field>,
    pub(super) tensors: BTreeMap<String, Entry>,
    data_start: usize,
}

impl Header {
    pub(super) fn field(&self, key: &str) -> Option<&Field> {
        self.fields.get(key)
    }

    pub(super) fn expect_text(&self, key: &str, expected: &str) -> Result<(), Fault> {
        match self.field(key) {
            Some(Field::Text(text)) if text == expected => Ok(()),
            found => Err(self.unexpected(key, &format!("`{expected}`"), found)),
        }
    }

    pub(super) fn count(&self, key: &str) -> Result<usize, Fault> {
        match self.field(key) {
            Some(Field::Whole(value)) => Ok(*value as usize),
            found => Err(self.unexpected(key, "a whole number", found)),
        }
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, Fault> {
        match self.field(key) {
            Some(Field::Number(value)) => Ok(*value),
            found => Err(self.unexpected(key, "a number", found)),
        }
    }

    fn unexpected(&self, key: &str, expected: &str, found: Option<&Field>) -> Fault {
        let found = match found {
            None => "no such key".to_owned(),
            Some(Field::Whole(value)) => format!("{value}"),
            Some(Field::Number(value)) => format!("{value}"),
            Some(Field::Text(text)) => format!("`{}`", text.chars().take(80).collect::<String>()),
            Some(_) => "a value of another type".to_owned(),
        };
        Fault { at: COUNTS_AT, expected: format!("the metadata `{key}` to be {expected}"), found }
    }

    pub(super) fn tensor(&self, name: &str, shape: &[usize]) -> Result<&Entry, Fault> {
        let Some(entry) = self.tensors.get(name) else {
            let expected = format!("a tensor `{name}` of shape {shape:?}");
            return Err(Fault { at: self.data_start, expected, found: "none in the header".to_owned() });
        };
        if entry.shape != shape {
            let expected = format!("the tensor `{name}` of shape {shape:?}");
            return Err(Fault { at: entry.at, expected, found: format!("{:?}", entry.shape) });
        }
        Ok(entry)
    }
}

/// Where the counts of tensors and metadata stand, behind magic and version.
const COUNTS_AT: usize = 8;

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: u64, what: &str) -> Result<&'a [u8], Fault> {
        let rest = self.bytes.len() - self.at;
        match usize::try_from(n) {
            Ok(n) if n <= rest => {
                self.at += n;
                Ok(&self.bytes[self.at - n..self.at])
            }
            _ => Err(Fault {
                at: self.at,
                expected: format!("{n} bytes of {what}"),
                found: format!("{rest} bytes to the end of the file"),
            }),
        }
    }

    fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64, what)?);
        Ok(array)
    }

    fn u32(&mut self, what: &str) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    fn u64(&mut self, what: &str) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    fn text(&mut self, what: &str) -> Result<String, Fault> {
        let length = self.u64(what)?;
        let at = self.at;
        let bytes = self.take(length, what)?;
        let error = |_| Fault { at, expected: format!("{what} in UTF-8"), found: "other bytes".to_owned() };
        String::from_utf8(bytes.to_vec()).map_err(error)
    }

    /// A count of things of at least `bytes_min` bytes each, no more than the rest of the file can hold.
    fn n(&mut self, what: &str, bytes_min: u64) -> Result<u64, Fault> {
        let at = self.at;
        let n = self.u64(what)?;
        let rest = (self.bytes.len() - self.at) as u64;
        if n.saturating_mul(bytes_min) > rest {
            let expected = format!("no more {what} than {rest} bytes can hold");
            return Err(Fault { at, expected, found: n.to_string() });
        }
        Ok(n)
    }

    /// SPEC: ggml `docs/gguf.md`, `gguf_metadata_value_type`.
    fn field(&mut self, kind: u32, depth: usize) -> Result<Field, Fault> {
        const WHAT: &str = "a metadata value";
        let at = self.at;
        Ok(match kind {
            0 => Field::Whole(u64::from(u8::from_le_bytes(self.array(WHAT)?))),
            2 => Field::Whole(u64::from(u16::from_le_bytes(self.array(WHAT)?))),
            4 => Field::Whole(u64::from(self.u32(WHAT)?)),
            10 => Field::Whole(self.u64(WHAT)?),
            1 => signed(i64::from(i8::from_le_bytes(self.array(WHAT)?))),
            3 => signed(i64::from(i16::from_le_bytes(self.array(WHAT)?))),
            5 => signed(i64::from(i32::from_le_bytes(self.array(WHAT)?))),
            11 => signed(i64::from_le_bytes(self.array(WHAT)?)),
            6 => Field::Number(shortest(f32::from_le_bytes(self.array(WHAT)?))),
            12 => Field::Number(f64::from_le_bytes(self.array(WHAT)?)),
            7 => Field::Truth(self.array::<1>(WHAT)? != [0]),
            8 => Field::Text(self.text("metadata text")?),
            9 if depth < DEPTH_MAX => {
                let kind = self.u32("an array's type")?;
                let n = self.n("array elements", 1)?;
                let mut elements = Elements::default();
                for _ in 0..n {
                    let element = self.field(kind, depth + 1)?;
                    if n <= KEPT_MAX {
                        elements.push(element);
                    }
                }
                elements.into_field(n)
            }
            9 => {
                let expected = format!("arrays within arrays to a depth of {DEPTH_MAX}");
                return Err(Fault { at, expected, found: "a deeper one".to_owned() });
            }
            _ => {
                let expected = "a metadata value of type 0 to 12".to_owned();
                return Err(Fault { at, expected, found: format!("type {kind}") });
            }
        })
    }
}

/// The elements of an array, kept when they are of one sort.
#[derive(Default)]
struct Elements {
    texts: Vec<String>,
    wholes: Vec<i64>,
    numbers: Vec<f32>,
}

impl Elements {
    fn push(&mut self, element: Field) {
        match element {
            Field::Text(text) => self.texts.push(text),
            Field::Whole(whole) => self.wholes.extend(i64::try_from(whole)),
            Field::Number(number) => self.numbers.push(number as f32),
            _ => {}
        }
    }

    fn into_field(self, n: u64) -> Field {
        let is_all = |length: usize| length as u64 == n && n > 0;
        if is_all(self.texts.len()) {
            Field::Texts(self.texts)
        } else if is_all(self.wholes.len()) {
            Field::Wholes(self.wholes)
        } else if is_all(self.numbers.len()) {
            Field::Numbers(self.numbers)
        } else {
            Field::Other
        }
    }
}

fn signed(value: i64) -> Field {
    u64::try_from(value).map_or(Field::Other, Field::Whole)
}

/// The shortest decimal that is this f32, as f64: 1e-5 stays 1e-5.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or(f64::NAN)
}

/// Everything before the data.
pub(super) fn header(bytes: &[u8]) -> Result<Header, Fault> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.take(4, "magic")? != b"GGUF" {
        return Err(Fault { at: 0, expected: "the magic `GGUF`".to_owned(), found: "other bytes".to_owned() });
    }
    let version = reader.u32("version")?;
    if version != 2 && version != 3 {
        return Err(Fault { at: 4, expected: "version 2 or 3".to_owned(), found: version.to_string() });
    }
    // A tensor has at least a name's length, a dimension count, a type and an offset; a field a key's length, type, byte.
    let n_tensors = reader.n("tensors", 8 + 4 + 4 + 8)?;
    let n_fields = reader.n("metadata fields", 8 + 4 + 1)?;
    let mut fields = BTreeMap::new();
    for _ in 0..n_fields {
        let at = reader.at;
        let key = reader.text("a metadata key")?;
        let kind = reader.u32("a metadata type")?;
        let field = reader.field(kind, 0)?;
        if fields.insert(key.clone(), field).is_some() {
            return Err(Fault { at, expected: format!("the key `{key}` once"), found: "it a second time".to_owned() });
        }
    }
    let mut tensors = BTreeMap::new();
    for _ in 0..n_tensors {
        let at = reader.at;
        let (name, entry) = entry(&mut reader)?;
        if tensors.insert(name.clone(), entry).is_some() {
            return Err(Fault {
                at,
                expected: format!("the tensor `{name}` once"),
                found: "it a second time".to_owned(),
            });
        }
    }
    let alignment = match fields.get("general.alignment") {
        None => ALIGNMENT,
        Some(Field::Whole(alignment)) if alignment.is_power_of_two() && *alignment <= 1 << 16 => *alignment as usize,
        Some(_) => {
            let expected = "`general.alignment` to be a power of two up to 65536".to_owned();
            return Err(Fault { at: COUNTS_AT, expected, found: "another value".to_owned() });
        }
    };
    Ok(Header { fields, tensors, data_start: reader.at.next_multiple_of(alignment) })
}

/// Every metadata field: its key, and its type and value as they stand in the file.
pub(super) fn raw_fields(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, Fault> {
    header(bytes)?;
    let mut reader = Reader { bytes, at: COUNTS_AT + 8 };
    let n_fields = reader.n("metadata fields", 8 + 4 + 1)?;
    let mut fields = Vec::new();
    for _ in 0..n_fields {
        let key = reader.text("a metadata key")?;
        let start = reader.at;
        let kind = reader.u32("a metadata type")?;
        reader.field(kind, 0)?;
        fields.push((key, bytes[start..reader.at].to_vec()));
    }
    Ok(fields)
}

fn entry(reader: &mut Reader) -> Result<(String, Entry), Fault> {
    let at = reader.at;
    let name = reader.text("a tensor's name")?;
    let n_dimensions = reader.u32("a dimension count")?;
    if n_dimensions > DIMENSIONS_MAX {
        let expected = format!("at most {DIMENSIONS_MAX} dimensions for `{name}`");
        return Err(Fault { at, expected, found: n_dimensions.to_string() });
    }
    let mut shape = Vec::new();
    for _ in 0..n_dimensions {
        shape.push(reader.u64("a dimension")? as usize);
    }
    shape.reverse();
    let kind = reader.u32("a tensor's type")?;
    Ok((name, Entry { shape, kind, offset: reader.u64("an offset")?, at }))
}

/// Where the bytes of one tensor stand in the file, and its type.
pub(super) fn place(
    n_bytes_of_file: usize,
    header: &Header,
    name: &str,
    entry: &Entry,
) -> Result<(GgmlDType, Range<usize>), Fault> {
    let fault = |expected: String, found: String| Fault { at: entry.at, expected, found };
    let Some(kind) = ggml(entry.kind) else {
        let expected = format!("the tensor `{name}` in F32, F16, BF16, Q4_0 to Q8_0 or Q2_K to Q6_K");
        return Err(fault(expected, format!("ggml type {}", entry.kind)));
    };
    let width = entry.shape.last().copied().unwrap_or(1);
    let block = kind.block_size();
    if !width.is_multiple_of(block) {
        let expected = format!("rows of a multiple of {block} numbers for `{name}` in {kind:?}");
        return Err(fault(expected, width.to_string()));
    }
    let n = entry.shape.iter().try_fold(1_usize, |n, size| n.checked_mul(*size));
    let n_bytes = n.and_then(|n| (n / block).checked_mul(kind.type_size()));
    let start = (header.data_start as u64).saturating_add(entry.offset);
    let rest = (n_bytes_of_file as u64).saturating_sub(start);
    match n_bytes {
        Some(n_bytes) if n_bytes as u64 <= rest => Ok((kind, start as usize..start as usize + n_bytes)),
        _ => {
            let n_bytes = n_bytes.map_or_else(|| "more than 2^64".to_owned(), |n_bytes| n_bytes.to_string());
            let at = usize::try_from(start).unwrap_or(usize::MAX);
            let found = format!("{rest} bytes to the end of the file");
            Err(Fault { at, expected: format!("{n_bytes} bytes of `{name}`"), found })
        }
    }
}

/// The numbers of one tensor, in f32. The bytes are copied to an even place first: candle takes them where they stand, and
/// panics when that is odd.
pub(crate) fn numbers(kind: GgmlDType, data: &[u8]) -> candle_core::Result<Vec<f32>> {
    const ALIGNED: usize = 64;
    match kind {
        GgmlDType::F32 => return Ok(f32_numbers(data)),
        GgmlDType::Q8_0 => return Ok(q8_0_numbers(data)),
        _ => {}
    }
    let mut aligned = vec![0; data.len() + ALIGNED];
    let start = aligned.as_ptr().align_offset(ALIGNED).min(ALIGNED);
    aligned[start..start + data.len()].copy_from_slice(data);
    let n = data.len() / kind.type_size() * kind.block_size();
    let blocks = qtensor_from_ggml(kind, &aligned[start..start + data.len()], vec![n], &Device::Cpu)?;
    blocks.dequantize(&Device::Cpu)?.to_vec1()
}

/// Numbers stored in f32, little-endian.
pub(crate) fn f32_numbers(data: &[u8]) -> Vec<f32> {
    data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// Numbers stored in Q8_0: blocks of an f16 scale and 32 signed bytes. Written here and not asked of candle, which panics
/// when the data of a damaged file does not begin at an even address.
///
/// SPEC: ggml, `block_q8_0`.
fn q8_0_numbers(data: &[u8]) -> Vec<f32> {
    let (blocks, _) = data.as_chunks::<Q8_0_BLOCK_BYTES>();
    let mut numbers = Vec::with_capacity(blocks.len() * super::BLOCK);
    for [low, high, steps @ ..] in blocks {
        let scale = half(u16::from_le_bytes([*low, *high]));
        numbers.extend(steps.iter().map(|step| f32::from(step.cast_signed()) * scale));
    }
    numbers
}

/// The value of an IEEE 754 half-precision number, exactly.
pub(crate) fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2_f32.powi(-24),
        0x1f if fraction == 0.0 => f32::INFINITY,
        0x1f => f32::NAN,
        _ => (1.0 + fraction / 1024.0) * 2_f32.powi(exponent - 15),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

#[cfg(test)]
mod tests {
    use super::{ggml, half, numbers};

    /// Referee: llama.cpp's Python package; `tests/fixtures/ggml_blocks.py` says how. Tolerance 1e-6 of the largest number of
    /// a block: scales are multiplied in another order.
    #[test]
    fn every_type_has_the_numbers_of_llama_cpps_package() {
        let document: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/fixtures/ggml_blocks.json")).unwrap();
        let types = document.as_object().unwrap();
        assert_eq!(types.len(), 13);
        for (name, entry) in types {
            let kind = ggml(entry["type"].as_u64().unwrap() as u32).unwrap();
            let hex = entry["bytes"].as_str().unwrap();
            let bytes: Vec<u8> =
                (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
            let expected: Vec<f64> =
                entry["numbers"].as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect();
            let largest = expected.iter().fold(0.0, |largest: f64, number| largest.max(number.abs()));
            let found = numbers(kind, &bytes).unwrap();
            assert_eq!(found.len(), expected.len(), "{name}");
            for (found, expected) in found.into_iter().zip(expected) {
                assert!(
                    (f64::from(found) - expected).abs() <= 1e-6 * largest,
                    "{name}: expected {expected}, found {found}"
                );
            }
        }
    }

    /// Examples of the Wikipedia article "Half-precision floating-point format", and every finite number by its
    /// definition in f64.
    #[test]
    fn half_precision_numbers_have_their_value() {
        for (bits, value) in [
            (0x0001, 0.000_000_059_604_645),
            (0x03ff, 0.000_060_975_55),
            (0x0400, 0.000_061_035_156),
            (0x3555, 0.333_251_95),
            (0x3c00, 1.0),
            (0x7bff, 65504.0),
            (0xc000, -2.0),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits), value, "{bits:04x}");
        }
        for bits in (0..0x7c00_u16).step_by(7) {
            let (exponent, fraction) = (f64::from(bits >> 10), f64::from(bits & 0x3ff));
            let expected = if exponent == 0.0 {
                2_f64.powi(-14) * (fraction / 1024.0)
            } else {
                2_f64.powf(exponent - 15.0) * (1.0 + fraction / 1024.0)
            };
            assert_eq!(f64::from(half(bits)), expected, "{bits:04x}");
        }
        assert!(half(0x7e00).is_nan());
        assert_eq!(half(0x8000).to_bits(), (-0.0_f32).to_bits());
    }
}
