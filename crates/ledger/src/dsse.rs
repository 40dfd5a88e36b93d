//! Envelopes: DSSE v1.0.2 with exactly one Ed25519 signature.

use crate::{
    encoding::{from_either_base64, to_base64},
    key::{Key, VerifyingKey},
};
use evidence::{Json, JsonError, PAYLOAD_TYPE, Statement, StatementError};

/// The bytes that are signed: `"DSSEv1" SP LEN(type) SP type SP LEN(body) SP body`.
#[must_use]
pub fn pae(payload_type: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A signed payload. Its bytes are reached only through [`Envelope::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    payload: Vec<u8>,
    payload_type: String,
    keyid: String,
    signature: Vec<u8>,
}

impl Envelope {
    /// Signs `payload`; the same payload and key give the same envelope.
    #[must_use]
    pub fn sign(payload_type: &str, payload: &[u8], key: &Key) -> Self {
        Self {
            payload: payload.to_vec(),
            payload_type: payload_type.to_owned(),
            keyid: key.verifying_key().keyid(),
            signature: key.sign(&pae(payload_type, payload)).to_vec(),
        }
    }

    /// Signs a statement in its canonical bytes.
    #[must_use]
    pub fn sign_statement(statement: &Statement, key: &Key) -> Self {
        Self::sign(PAYLOAD_TYPE, statement.canonical().as_bytes(), key)
    }

    /// The envelope file: canonical JSON, standard base64.
    #[must_use]
    pub fn to_text(&self) -> String {
        let signature = Json::map([
            ("keyid", Some(self.keyid.as_str().into())),
            ("sig", Some(to_base64(&self.signature).into())),
        ]);
        Json::map([
            ("payload", Some(to_base64(&self.payload).into())),
            ("payloadType", Some(self.payload_type.as_str().into())),
            ("signatures", Some(Json::List(vec![signature]))),
        ])
        .canonical()
    }

    /// Reads an envelope of anybody's making; members it does not know are ignored, an absent `keyid` is empty.
    ///
    /// # Errors
    /// `EnvelopeError` when it is not JSON, a member is absent or malformed, or there is not exactly one signature.
    pub fn parse(text: &str) -> Result<Self, EnvelopeError> {
        let json = Json::parse(text)?;
        let text_of = |json: &Json, key: &'static str| {
            json.get(key).and_then(Json::as_text).map(str::to_owned).ok_or(EnvelopeError::Member(key))
        };
        let bytes_of = |json: &Json, key: &'static str| {
            from_either_base64(&text_of(json, key)?).ok_or(EnvelopeError::Base64(key))
        };
        let signatures = json.get("signatures").map_or(&[][..], Json::items);
        let [signature] = signatures else { return Err(EnvelopeError::Signatures(signatures.len())) };
        Ok(Self {
            payload: bytes_of(&json, "payload")?,
            payload_type: text_of(&json, "payloadType")?,
            keyid: signature.get("keyid").and_then(Json::as_text).unwrap_or_default().to_owned(),
            signature: bytes_of(signature, "sig")?,
        })
    }

    /// The payload's type, its very bytes that were verified, and the key that signed them. `keyid` is not looked at.
    ///
    /// # Errors
    /// `Unsigned` when none of the keys made the signature.
    pub fn verify<'a>(
        &'a self,
        keys: &'a [VerifyingKey],
    ) -> Result<(&'a str, &'a [u8], &'a VerifyingKey), EnvelopeError> {
        let message = pae(&self.payload_type, &self.payload);
        let signer = keys.iter().find(|key| key.verifies(&message, &self.signature)).ok_or(EnvelopeError::Unsigned)?;
        Ok((&self.payload_type, &self.payload, signer))
    }

    /// The statement of a verified envelope: verify, check the type, parse the bytes verified, compare their encoding.
    ///
    /// # Errors
    /// `EnvelopeError` with the first step that fails.
    pub fn statement(&self, keys: &[VerifyingKey]) -> Result<Statement, EnvelopeError> {
        let (payload_type, payload, _) = self.verify(keys)?;
        if payload_type != PAYLOAD_TYPE {
            return Err(EnvelopeError::PayloadType(payload_type.to_owned()));
        }
        let text = std::str::from_utf8(payload).map_err(|_| EnvelopeError::Canonical)?;
        let statement = Statement::parse(text)?;
        if statement.canonical() == text { Ok(statement) } else { Err(EnvelopeError::Canonical) }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    #[error("the envelope is not JSON")]
    Json(#[from] JsonError),
    #[error("the envelope's member `{0}` is absent or not text")]
    Member(&'static str),
    #[error("the envelope's member `{0}` is not base64")]
    Base64(&'static str),
    #[error("expected exactly one signature, found {0}")]
    Signatures(usize),
    #[error("the signature is none of the known keys'")]
    Unsigned,
    #[error("expected the payload type `application/vnd.in-toto+json`, found `{0}`")]
    PayloadType(String),
    #[error("the payload is no statement of a known kind")]
    Statement(#[from] StatementError),
    #[error("the payload is not in the canonical encoding")]
    Canonical,
}

#[cfg(test)]
mod tests {
    use super::*;
    use evidence::{Digest, Predicate, Subject};

    const KEY: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

    fn statement() -> Statement {
        let predicate = Json::map([("at", Some("2026-11-23T10:00:00Z".into()))]);
        let subjects = vec![Subject::new("w", Digest::of(b"w"))];
        Statement { subjects, predicate_type: Predicate::Stop, predicate }
    }

    /// The vector of the DSSE specification (`protocol.md`, test vectors).
    #[test]
    fn the_signed_bytes_are_those_of_the_specification() {
        assert_eq!(
            pae("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
        // Lengths count bytes, not characters; worked by hand.
        assert_eq!(pae("t", "é".as_bytes()), b"DSSEv1 1 t 2 \xc3\xa9");
        assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    }

    #[test]
    fn an_envelope_reads_back_and_both_alphabets_are_accepted() {
        let key = Key::parse(KEY).unwrap();
        let keys = [key.verifying_key().clone()];
        let envelope = Envelope::sign_statement(&statement(), &key);
        let text = envelope.to_text();
        assert_eq!(Envelope::parse(&text).unwrap(), envelope);
        assert_eq!(envelope.statement(&keys).unwrap(), statement());
        let json = Json::parse(&text).unwrap();
        let sig = json.get("signatures").unwrap().items()[0].get("sig").unwrap().as_text().unwrap().to_owned();
        assert!(sig.contains(['+', '/']), "the vector must tell the alphabets apart");
        let url_safe = sig.replace('+', "-").replace('/', "_");
        assert_eq!(Envelope::parse(&text.replace(&sig, &url_safe)).unwrap(), envelope);
        assert_eq!(Envelope::parse(&text.replace(&sig, url_safe.trim_end_matches('='))).unwrap(), envelope);
    }

    /// Ed25519 is deterministic; made by this encoder and frozen, so that a change of a signed byte is seen.
    #[test]
    fn the_envelope_of_a_statement_is_frozen() {
        let text = Envelope::sign_statement(&statement(), &Key::parse(KEY).unwrap()).to_text();
        assert!(text.starts_with("{\"payload\":\"eyJfdHlwZSI6Imh0dHBzOi8vaW4tdG90by5pby9TdGF0ZW1lbnQvdjEi"));
        assert_eq!(Digest::of(text.as_bytes()).to_string(), "FROZEN");
    }

    #[test]
    fn what_is_not_one_good_signature_over_a_canonical_statement_is_refused() {
        let key = Key::parse(KEY).unwrap();
        let other = Key::generate("other").unwrap();
        let keys = [key.verifying_key().clone()];
        let good = Envelope::sign_statement(&statement(), &key).to_text();
        let sig = r#"{"keyid":"#;
        let of = |payload: &str| Envelope::sign(PAYLOAD_TYPE, payload.as_bytes(), &key).to_text();
        let spaced = statement().canonical().replace("{\"_type\"", "{ \"_type\"");
        let table = [
            ("{".to_owned(), "the envelope is not JSON"),
            (good.replace("payloadType", "kind"), "the envelope's member `payloadType` is absent or not text"),
            (good.replace("\"payload\":\"e", "\"payload\":\"*"), "the envelope's member `payload` is not base64"),
            (good.replace(sig, &format!("{{}},{sig}")), "expected exactly one signature, found 2"),
            (good.replace("[{", "[],\"x\":[{"), "expected exactly one signature, found 0"),
            (Envelope::sign_statement(&statement(), &other).to_text(), "the signature is none of the known keys'"),
            (
                Envelope::sign("text/plain", b"x", &key).to_text(),
                "expected the payload type `application/vnd.in-toto+json`, found `text/plain`",
            ),
            (of(&spaced), "the payload is not in the canonical encoding"),
            (of("{}"), "the payload is no statement of a known kind"),
        ];
        for (text, reason) in table {
            let error = Envelope::parse(&text).and_then(|envelope| envelope.statement(&keys)).unwrap_err();
            assert_eq!(error.to_string(), reason);
        }
    }
}
