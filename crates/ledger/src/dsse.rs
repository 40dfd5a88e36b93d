//! DSSE v1 envelopes with Ed25519 signatures: exactly one on what goes into a log, several on what several people sign.

use crate::key::{Key, VerifyingKey};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE},
};
use evidence::{Json, JsonError, PAYLOAD_TYPE};

/// SPEC: DSSE v1.0.2, pre-authentication encoding.
#[must_use]
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).into_bytes();
    bytes.extend(body);
    bytes
}

/// The envelope of a payload, as the text that is stored.
#[must_use]
pub fn seal(payload: &str, key: &Key) -> String {
    written(payload, vec![signature(payload, key)])
}

fn signature(payload: &str, key: &Key) -> Json {
    let signature = key.sign(&pae(PAYLOAD_TYPE, payload.as_bytes()));
    Json::map([("keyid", Some(key.verifying().id_hex().into())), ("sig", Some(STANDARD.encode(signature).into()))])
}

fn written(payload: &str, signatures: Vec<Json>) -> String {
    Json::map([
        ("payload", Some(STANDARD.encode(payload).into())),
        ("payloadType", Some(PAYLOAD_TYPE.into())),
        ("signatures", Some(Json::List(signatures))),
    ])
    .canonical()
}

/// The same envelope with one signature more, over the same payload.
///
/// # Errors
/// `DsseError` for an envelope that is not one of ours. The signatures it holds are not looked at.
pub fn countersign(envelope: &str, key: &Key) -> Result<String, DsseError> {
    let json = Json::parse(envelope)?;
    let (kind, payload) = parts(&json)?;
    if kind != PAYLOAD_TYPE {
        return Err(DsseError::PayloadType(kind));
    }
    let payload = String::from_utf8(payload).map_err(|_| DsseError::Member("payload"))?;
    let mut signatures = json.get("signatures").map_or(&[][..], Json::items).to_vec();
    signatures.push(signature(&payload, key));
    Ok(written(&payload, signatures))
}

/// The payload of an envelope: decoded once, verified, and given back as the very bytes verified.
///
/// # Errors
/// `DsseError`; nothing of an unverified payload is returned.
pub fn open(envelope: &str, keys: &[VerifyingKey]) -> Result<String, DsseError> {
    let Signed { payload, signatures } = look(envelope)?;
    let [signature] = &signatures[..] else { return Err(DsseError::Signatures) };
    if keys.iter().any(|key| signature.is_of(key, &payload)) { Ok(payload) } else { Err(DsseError::BadSignature) }
}

/// An envelope of several signatures, decoded once and not yet verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Believe it only under a signature that [`Signature::is_of`] a key known otherwise.
    pub payload: String,
    pub signatures: Vec<Signature>,
}

/// One signature of an envelope. Its key id is a hint, and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub keyid: String,
    bytes: Vec<u8>,
}

impl Signature {
    /// Whether this is the signature of `key` over `payload`.
    #[must_use]
    pub fn is_of(&self, key: &VerifyingKey, payload: &str) -> bool {
        key.verifies(&pae(PAYLOAD_TYPE, payload.as_bytes()), &self.bytes)
    }
}

/// Decodes an envelope and verifies nothing.
///
/// # Errors
/// `DsseError` for what is malformed or of another payload type.
pub fn look(envelope: &str) -> Result<Signed, DsseError> {
    let json = Json::parse(envelope)?;
    let (kind, payload) = parts(&json)?;
    if kind != PAYLOAD_TYPE {
        return Err(DsseError::PayloadType(kind));
    }
    let signature = |json: &Json| {
        let keyid = json.get("keyid").and_then(Json::as_text).unwrap_or_default().to_owned();
        let bytes = json.get("sig").and_then(Json::as_text).and_then(decode).ok_or(DsseError::Member("sig"))?;
        Ok(Signature { keyid, bytes })
    };
    let signatures = json.get("signatures").map_or(&[][..], Json::items).iter().map(signature);
    let signatures = signatures.collect::<Result<_, DsseError>>()?;
    Ok(Signed { payload: String::from_utf8(payload).map_err(|_| DsseError::Member("payload"))?, signatures })
}

/// Payload type and payload.
fn parts(json: &Json) -> Result<(String, Vec<u8>), DsseError> {
    let text = |member: &'static str| json.get(member).and_then(Json::as_text).ok_or(DsseError::Member(member));
    let payload = decode(text("payload")?).ok_or(DsseError::Member("payload"))?;
    Ok((text("payloadType")?.to_owned(), payload))
}

/// SPEC: verifiers accept standard and URL-safe base64.
fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DsseError {
    #[error("the envelope is not JSON of the profile")]
    Json(#[from] JsonError),
    #[error("the envelope's member `{0}` is absent or malformed")]
    Member(&'static str),
    #[error("expected exactly one signature")]
    Signatures,
    #[error("the signature does not belong to the payload under any known key")]
    BadSignature,
    #[error("expected the payload type `application/vnd.in-toto+json`, found `{0}`")]
    PayloadType(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pre_authentication_encoding_is_the_specifications() {
        assert_eq!(pae("http://example.com/HelloWorld", b"hello world"), b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    #[test]
    fn several_sign_the_same_bytes() {
        let keys = ["a", "b", "c"].map(|name| Key::generate(name).unwrap());
        let twice = countersign(&seal("{\"a\":1}", &keys[0]), &keys[1]).unwrap();
        let Signed { payload, signatures } = look(&twice).unwrap();
        assert_eq!(payload, "{\"a\":1}");
        let signed = |key: &Key| signatures.iter().map(|signature| signature.is_of(&key.verifying(), &payload)).collect::<Vec<_>>();
        assert_eq!(keys.each_ref().map(signed), [vec![true, false], vec![false, true], vec![false, false]]);
        assert!(!signatures[0].is_of(&keys[0].verifying(), "{\"a\":2}"));
        // What goes into a log has one.
        assert_eq!(open(&twice, &keys.each_ref().map(Key::verifying)), Err(DsseError::Signatures));
    }

    #[test]
    fn an_envelope_opens_under_its_key_alone() {
        let (key, other) = (Key::generate("a").unwrap(), Key::generate("b").unwrap());
        let envelope = seal("{}", &key);
        assert_eq!(open(&envelope, &[other.verifying(), key.verifying()]).unwrap(), "{}");
        assert_eq!(open(&envelope, &[other.verifying()]), Err(DsseError::BadSignature));
        let twice = envelope.replace("\"signatures\":[", "\"signatures\":[{\"keyid\":\"\",\"sig\":\"AAAA\"},");
        assert_eq!(open(&twice, &[key.verifying()]), Err(DsseError::Signatures));
        let url_safe = envelope.replace('+', "-").replace('/', "_").replace("application_vnd.in-toto-json", "application/vnd.in-toto+json");
        assert_eq!(open(&url_safe, &[key.verifying()]).unwrap(), "{}");
    }
}
