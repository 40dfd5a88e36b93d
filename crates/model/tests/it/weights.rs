use crate::{all_bits, chain, small};
use candle_core::{DType, Device, Tensor};
use evidence::Digest;
use model::{Llama, weights};
use std::{collections::BTreeMap, fs, path::Path};

fn words() -> BTreeMap<String, String> {
    let words = [("seed", "7"), ("format", "pt"), ("note", "a \"quoted\" word, ü, 字")];
    words.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

/// Two tensors, small enough to try every bit.
fn pair() -> BTreeMap<String, Tensor> {
    let tensor = |values: &[f32], shape: &[usize]| Tensor::from_slice(values, shape, &Device::Cpu).unwrap();
    BTreeMap::from([
        ("a".to_owned(), tensor(&[1.0, -2.5, f32::MIN_POSITIVE, 0.0, -0.0, 3.0e38], &[2, 3])),
        ("b".to_owned(), tensor(&[0.5], &[1])),
    ])
}

/// What `load` says of these bytes, with the path taken out.
fn verdict(bytes: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    fs::write(&path, bytes).unwrap();
    chain(&weights::load(&path).unwrap_err()).replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn what_is_saved_is_loaded_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for tensors in [pair(), Llama::init(&small(300), 7).unwrap().tensors()] {
        let digest = weights::save(&path, &tensors, &words()).unwrap();
        assert_eq!(digest, Digest::of(&fs::read(&path).unwrap()));
        assert_eq!(all_bits(&weights::load_checked(&path, digest).unwrap()), all_bits(&tensors));
        assert_eq!(all_bits(&weights::load(&path).unwrap()), all_bits(&tensors));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a part was left behind");
    }
}

/// Written by hand from the format's description: length, header with one space of padding, data.
#[test]
fn the_bytes_are_those_of_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let words = BTreeMap::from([("z".to_owned(), "1".to_owned()), ("y".to_owned(), "2".to_owned())]);
    let tensor = Tensor::from_slice(&[1.0_f32, -2.0], (2,), &Device::Cpu).unwrap();
    weights::save(&path, &BTreeMap::from([("t".to_owned(), tensor)]), &words).unwrap();
    let header = r#"{"__metadata__":{"y":"2","z":"1"},"t":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} "#;
    assert_eq!(header.len() % 8, 0);
    let mut expected = (header.len() as u64).to_le_bytes().to_vec();
    expected.extend(header.as_bytes());
    expected.extend([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    assert_eq!(fs::read(&path).unwrap(), expected);
}

#[test]
fn a_flipped_bit_anywhere_is_found_by_the_digest_and_named_with_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let expected = weights::save(&path, &pair(), &BTreeMap::new()).unwrap();
    let bytes = fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            fs::write(&path, &changed).unwrap();
            let message = chain(&weights::load_checked(&path, expected).unwrap_err());
            let found = Digest::of(&changed);
            let path = path.display();
            assert_eq!(
                message,
                format!(
                    "`{path}`: expected sha256:{expected}, found sha256:{found}; these are not the weights that were recorded"
                )
            );
            // Without a digest a flip may pass (it may be a weight), but nothing panics.
            let _ = weights::load(Path::new(&path.to_string()));
        }
    }
}

const REMEDY: &str =
    "; the file is damaged or incomplete: take it again from where it came, or from the last snapshot";

#[test]
fn a_truncated_file_is_refused_at_every_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    weights::save(&path, &pair(), &BTreeMap::new()).unwrap();
    let bytes = fs::read(&path).unwrap();
    let header = bytes.len() - 28 - 8;
    for length in 0..bytes.len() {
        let message = verdict(&bytes[..length]);
        let expected = if length < 8 {
            format!("`w.safetensors`, byte 0: expected the 8 bytes of the header's length, found a file of {length} bytes")
        } else if length < 8 + header {
            let rest = length - 8;
            format!("`w.safetensors`, byte 8: expected a header of {header} bytes, found {rest} bytes to the end of the file")
        } else {
            let (data, rest) = (8 + header, length - 8 - header);
            format!(
                "`w.safetensors`, byte {data}: expected as many bytes of data as the header declares, found {rest} bytes"
            )
        };
        assert_eq!(message, expected + REMEDY);
    }
}

fn file(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

#[test]
fn a_damaged_header_is_refused_with_its_byte() {
    let entry = |name: &str, from: usize, to: usize| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[{from},{to}]}}")
    };
    let table = [
        (
            file("{\"a\":{\"dtype\":\"F32\",\"shape\":[1] \"data_offsets\":[0,4]}}", &[0; 4]),
            "byte 40: expected a header in JSON as safetensors has it, found expected `,` or `}`",
        ),
        (
            // The parser takes in an entry before it looks at the words in it.
            file("{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", &[0; 4]),
            "byte 61: expected a header in JSON as safetensors has it, found unknown variant `F31`, expected one of `BOOL`, \
             `F4`, `F6_E2M3`, `F6_E3M2`, `U8`, `I8`, `F8_E5M2`, `F8_E4M3`, `F8_E8M0`, `F8_E4M3FNUZ`, `F8_E5M2FNUZ`, `I16`, \
             `U16`, `F16`, `BF16`, `I32`, `U32`, `F32`, `C64`, `F64`, `I64`, `U64`",
        ),
        (
            file(&format!("{{{},{}}}", entry("a", 0, 4), entry("b", 2, 6)), &[0; 6]),
            "byte 62: expected the tensor `b` to begin where the one before it ends, found a gap or an overlap",
        ),
        (
            file(&format!("{{{}}}", entry("a", 0, 8)), &[0; 8]),
            "byte 8: expected data offsets as long as shape and element type say, found a header in which they differ",
        ),
        (
            file("{\"a\":{\"dtype\":\"F32\",\"shape\":[18446744073709551615,9],\"data_offsets\":[0,4]}}", &[0; 4]),
            "byte 8: expected a safetensors header, found overflow computing buffer size from shape and/or element type",
        ),
        (
            file("{\"\u{1}", &[]),
            "byte 10: expected a header in JSON as safetensors has it, found control character (\\u0000-\\u001F) found while \
             parsing a string",
        ),
    ];
    for (bytes, message) in table {
        assert_eq!(verdict(&bytes), format!("`w.safetensors`, {message}{REMEDY}"));
    }
    let utf8 = [&3_u64.to_le_bytes()[..], b"{\"\xff"].concat();
    assert_eq!(
        verdict(&utf8),
        format!("`w.safetensors`, byte 10: expected a header in UTF-8, found another byte{REMEDY}")
    );
}

#[test]
fn another_element_type_is_refused_by_name() {
    let bytes = file("{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}", &[0; 4]);
    assert_eq!(
        verdict(&bytes),
        "`w.safetensors`: expected the tensor `a` in F32, found BF16; convert the weights to F32 first"
    );
    let doubles = BTreeMap::from([("a".to_owned(), Tensor::zeros(2, DType::F64, &Device::Cpu).unwrap())]);
    let error = weights::save(Path::new("never-written"), &doubles, &BTreeMap::new()).unwrap_err();
    assert_eq!(error.to_string(), "expected the tensor `a` in f32, found f64");
}

#[test]
fn a_write_that_fails_leaves_nothing_behind_and_says_where_it_failed() {
    let folder = tempfile::tempdir().unwrap();
    let absent = folder.path().join("absent/model.safetensors");
    let error = weights::save(&absent, &pair(), &BTreeMap::new()).unwrap_err();
    assert_eq!(
        chain(&error),
        format!(
            "cannot write `{}` (creating the file beside it); the file that stood there before, if any, is untouched: No such \
             file or directory (os error 2)",
            absent.display()
        )
    );
    let occupied = folder.path().join("occupied");
    fs::create_dir_all(occupied.join("by a folder")).unwrap();
    let error = weights::save(&occupied, &pair(), &BTreeMap::new()).unwrap_err();
    assert_eq!(
        chain(&error),
        format!(
            "cannot write `{}` (renaming the finished file); the file that stood there before, if any, is untouched: Is a \
             directory (os error 21)",
            occupied.display()
        )
    );
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["occupied"]);
}

#[test]
fn a_missing_file_is_named() {
    let error = weights::load(Path::new("no such folder/model.safetensors")).unwrap_err();
    assert_eq!(
        chain(&error),
        "cannot read the weights `no such folder/model.safetensors`: No such file or directory (os error 2)"
    );
}
