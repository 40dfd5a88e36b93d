//! DSSE v1 envelopes with exactly one Ed25519 signature.

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
    let signature = key.sign(&pae(PAYLOAD_TYPE, payload.as_bytes()));
    let signature = Json::map([
        ("keyid", Some(key.verifying().id_hex().into())),
        ("sig", Some(STANDARD.encode(signature).into())),
    ]);
    Json::map([
        ("payload", Some(STANDARD.encode(payload).into())),
        ("payloadType", Some(PAYLOAD_TYPE.into())),
        ("signatures", Some(Json::List(vec![signature]))),
    ])
    .canonical()
}

/// The payload of an envelope: decoded once, verified, and given back as the very bytes verified.
///
/// # Errors
/// `DsseError`; nothing of an unverified payload is returned.
pub fn open(envelope: &str, keys: &[VerifyingKey]) -> Result<String, DsseError> {
    let json = Json::parse(envelope)?;
    let text = |json: &Json, member: &'static str| {
        json.get(member).and_then(Json::as_text).map(str::to_owned).ok_or(DsseError::Member(member))
    };
    let payload = decode(&text(&json, "payload")?).ok_or(DsseError::Member("payload"))?;
    let kind = text(&json, "payloadType")?;
    let [signature] = json.get("signatures").map_or(&[][..], Json::items) else {
        return Err(DsseError::Signatures);
    };
    let signature = decode(&text(signature, "sig")?).ok_or(DsseError::Member("sig"))?;
    let signed = pae(&kind, &payload);
    if !keys.iter().any(|key| key.verifies(&signed, &signature)) {
        return Err(DsseError::BadSignature);
    }
    if kind != PAYLOAD_TYPE {
        return Err(DsseError::PayloadType(kind));
    }
    String::from_utf8(payload).map_err(|_| DsseError::Member("payload"))
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
