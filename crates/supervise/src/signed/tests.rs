//! Good files are taken; every bad one is refused for its own reason, which is told whole.

use super::*;
use evidence::metric;
use jiff::civil::date;
use policy::Version;
use tempfile::TempDir;

struct World {
    folder: TempDir,
    ana: Key,
    ben: Key,
    chen: Key,
    stranger: Key,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [ana, ben, chen, stranger] =
            ["ana-key", "ben", "chen", "stranger"].map(|name| Key::generate(name).unwrap());
        Self { folder, ana, ben, chen, stranger }
    }

    fn case(&self) -> Case {
        let text = "[system]\nname = \"first-case\"\n[policy]\npacks = []\n";
        fs::write(self.folder.path().join("assize.toml"), text).unwrap();
        Case::read(self.folder.path()).unwrap()
    }

    fn approvers(&self) -> Vec<VerifyingKey> {
        vec![self.ben.verifying(), self.chen.verifying()]
    }

    fn draft(&self) -> EnvelopeFile {
        waiver_file(draft_waiver(&terms(), &self.ana).unwrap())
    }

    fn signed_by(&self, keys: &[&Key]) -> EnvelopeFile {
        let sign = |file: EnvelopeFile, key: &&Key| waiver_file(dsse::countersign(&file.text, key).unwrap());
        keys.iter().fold(self.draft(), sign)
    }

    fn refusal(&self, file: &EnvelopeFile) -> String {
        waiver(file, &self.approvers()).unwrap_err().to_string()
    }

    fn declaration(&self) -> Declaration {
        Declaration {
            metric: metric::find("doc.annex_iv").unwrap(),
            subject: system_subject("first-case"),
            declared: Declared::Document(Subject::new("docs/label.md", Digest::of(b"label"))),
            owner: "legal".to_owned(),
            at: "2026-11-20T00:00:00Z".parse().unwrap(),
            expires: date(2027, 6, 1),
        }
    }

    fn declined(&self, text: &str) -> String {
        let file = EnvelopeFile { path: "declarations/a.json".to_owned(), text: text.to_owned() };
        declarations(&file, &self.case(), &[self.ben.verifying(), self.chen.verifying()]).unwrap_err().to_string()
    }
}

fn waiver_file(text: String) -> EnvelopeFile {
    EnvelopeFile { path: "waivers/house.refuse.json".to_owned(), text }
}

fn terms() -> Waiver {
    Waiver {
        rule: "house.refuse".to_owned(),
        from_version: Version(1, 0, 0),
        below_version: Version(2, 0, 0),
        scope: "first-case".to_owned(),
        subject: None,
        reason: "the bank is being asked".to_owned(),
        compensating: "no public access until then".to_owned(),
        author: "ana".to_owned(),
        approvers: Vec::new(),
        granted: date(2026, 11, 1),
        expires: date(2027, 1, 1),
    }
}

/// The envelope over another payload, with the same signatures.
fn tampered(text: &str, from: &str, to: &str) -> String {
    let json = Json::parse(text).unwrap();
    let payload = dsse::look(text).unwrap().payload;
    assert!(payload.contains(from), "{payload}");
    let other = dsse::seal(&payload.replace(from, to), &Key::generate("any").unwrap());
    let mut members = Json::parse(&other).unwrap().members().unwrap().clone();
    members.insert("signatures".to_owned(), json.get("signatures").unwrap().clone());
    Json::Map(members).canonical()
}

#[test]
fn two_others_make_a_waiver_whole() {
    let world = World::new();
    let draft = world.draft();
    let read = waiver(&draft, &world.approvers()).unwrap();
    assert_eq!(read, terms());
    assert_eq!(read.check().unwrap_err().to_string(), "expected two approvers who are not the author, found 0");
    let once = approve_waiver(&draft, &world.chen, &world.approvers()).unwrap();
    let twice = approve_waiver(&waiver_file(once), &world.ben, &world.approvers()).unwrap();
    let read = waiver(&waiver_file(twice), &world.approvers()).unwrap();
    assert_eq!(read, Waiver { approvers: vec!["chen".to_owned(), "ben".to_owned()], ..terms() });
    assert_eq!(read.check(), Ok(()));
}

#[test]
fn the_wrong_people_cannot_approve() {
    let world = World::new();
    let named_ana = Key::generate("ana").unwrap();
    let table: [(&[&Key], String); 4] = [
        (
            &[&world.ben, &world.ben],
            "waivers/house.refuse.json: `ben` approved it twice: ask another, two are needed".to_owned(),
        ),
        (&[&world.ana], "waivers/house.refuse.json: the author `ana` cannot approve: ask two others".to_owned()),
        (
            &[&world.ben, &world.stranger],
            format!(
                "waivers/house.refuse.json: it is signed by a key that this case does not know (key id `{}`); if you trust the signer, add the line of that key to `approvers` under `[policy]`",
                world.stranger.verifying().id_hex()
            ),
        ),
        (
            &[&named_ana],
            format!(
                "waivers/house.refuse.json: it is signed by a key that this case does not know (key id `{}`); if you trust the signer, add the line of that key to `approvers` under `[policy]`",
                named_ana.verifying().id_hex()
            ),
        ),
    ];
    for (keys, expected) in table {
        assert_eq!(world.refusal(&world.signed_by(keys)), expected);
    }
    // A second key under the author's name is the author still, even where the case lists it.
    let approvers = [world.ben.verifying(), named_ana.verifying()];
    let error = waiver(&world.signed_by(&[&world.ben, &named_ana]), &approvers).unwrap_err();
    assert_eq!(error.cause, FileCause::AuthorApproves("ana".to_owned()));
    // And the author's own key is the author's, whatever the list calls it.
    let approvers = [world.ben.verifying(), world.ana.verifying()];
    let error = waiver(&world.signed_by(&[&world.ben, &world.ana]), &approvers).unwrap_err();
    assert_eq!(error.cause, FileCause::AuthorApproves("ana".to_owned()));
    // Nothing is written for a key that may not approve.
    let error = approve_waiver(&world.draft(), &world.stranger, &world.approvers()).unwrap_err();
    assert!(matches!(error.cause, FileCause::Signer(Signer::Unknown { list: "approvers", .. })), "{error}");
}

#[test]
fn a_changed_waiver_is_refused() {
    let world = World::new();
    let whole = world.signed_by(&[&world.ben, &world.chen]);
    let changed = waiver_file(tampered(&whole.text, "\"expires\":\"2027-01-01\"", "\"expires\":\"2027-10-01\""));
    assert_eq!(
        world.refusal(&changed),
        "waivers/house.refuse.json: it was changed after its author `ana` signed it; waive anew"
    );
    // An author who changes it and signs again has not the approvals for what it says now.
    let other = draft_waiver(&Waiver { expires: date(2027, 10, 1), ..terms() }, &world.ana).unwrap();
    let mut members = Json::parse(&other).unwrap().members().unwrap().clone();
    let own = members["signatures"].items()[0].clone();
    let old = Json::parse(&whole.text).unwrap().get("signatures").unwrap().items()[1..].to_vec();
    members.insert("signatures".to_owned(), Json::List([vec![own], old].concat()));
    assert_eq!(
        world.refusal(&waiver_file(Json::Map(members).canonical())),
        "waivers/house.refuse.json: it was changed after `ben` signed it, or only pretends to be signed by `ben`; ask for it again"
    );
}

#[test]
fn terms_that_no_approval_makes_good_are_refused() {
    let world = World::new();
    let table = [
        (
            Waiver { expires: date(2027, 11, 2), ..terms() },
            "expected an expiry from 1 to 365 days after 2026-11-01, found 2027-11-02",
        ),
        (
            Waiver { expires: date(2026, 11, 1), ..terms() },
            "expected an expiry from 1 to 365 days after 2026-11-01, found 2026-11-01",
        ),
        (
            Waiver { below_version: Version(1, 0, 0), ..terms() },
            "expected a version range that holds a version, found 1.0.0 to 1.0.0",
        ),
        (Waiver { compensating: " ".to_owned(), ..terms() }, "expected a compensating control, found nothing"),
    ];
    for (terms, expected) in table {
        assert_eq!(draft_waiver(&terms, &world.ana).unwrap_err().to_string(), expected);
        // Nor are they taken from a file that somebody made without us.
        let mut members = terms.to_json().members().unwrap().clone();
        members.insert("authorKey".to_owned(), world.ana.verifying().to_string().into());
        let statement = Statement {
            subjects: vec![system_subject("first-case")],
            predicate_type: Predicate::Waiver,
            predicate: Json::Map(members),
        };
        let sealed = dsse::seal(&statement.canonical(), &world.ana);
        assert_eq!(world.refusal(&waiver_file(sealed)), format!("waivers/house.refuse.json: {expected}"));
    }
    assert!(draft_waiver(&Waiver { expires: date(2027, 11, 1), ..terms() }, &world.ana).is_ok(), "365 days are enough");
}

#[test]
fn names_written_into_a_waiver_approve_nothing() {
    let world = World::new();
    let mut members =
        Waiver { approvers: vec!["ben".to_owned(), "chen".to_owned()], ..terms() }.to_json().members().unwrap().clone();
    members.insert("authorKey".to_owned(), world.ana.verifying().to_string().into());
    let statement =
        Statement { subjects: Vec::new(), predicate_type: Predicate::Waiver, predicate: Json::Map(members) };
    let read = waiver(&waiver_file(dsse::seal(&statement.canonical(), &world.ana)), &world.approvers()).unwrap();
    assert_eq!(read.approvers, Vec::<String>::new());
}

#[test]
fn a_declaration_is_taken_from_a_key_that_is_known() {
    let world = World::new();
    let text = sign_declaration(&world.declaration(), &world.ben);
    let file = EnvelopeFile { path: "declarations/a.json".to_owned(), text: text.clone() };
    let read = declarations(&file, &world.case(), &[world.chen.verifying(), world.ben.verifying()]).unwrap();
    assert_eq!(read.declarations, [world.declaration()]);
    assert_eq!((read.key, read.envelope), (world.ben.verifying(), Digest::of(text.as_bytes())));
}

#[test]
fn a_declaration_of_a_stranger_or_changed_is_refused() {
    let world = World::new();
    let by_stranger = sign_declaration(&world.declaration(), &world.stranger);
    let id = world.stranger.verifying().id_hex();
    let good = sign_declaration(&world.declaration(), &world.ben);
    let elsewhere = Declaration { subject: system_subject("second-case"), ..world.declaration() };
    let void = Declaration { expires: date(2026, 11, 20), ..world.declaration() };
    let table = [
        (
            by_stranger,
            format!(
                "it is signed by a key that this case does not know (key id `{id}`); if you trust the signer, add the line of that key to `declarers` under `[policy]`"
            ),
        ),
        (
            tampered(&good, "legal", "board"),
            "it was changed after `ben` signed it, or only pretends to be signed by `ben`; ask for it again".to_owned(),
        ),
        (
            sign_declaration(&elsewhere, &world.ben),
            "it speaks of the system `second-case`, this case is `first-case`".to_owned(),
        ),
        (sign_declaration(&void, &world.ben), "it is void from 2026-11-20, and was made on 2026-11-20".to_owned()),
        (dsse::countersign(&good, &world.chen).unwrap(), "expected one signature, found 2".to_owned()),
        (
            draft_waiver(&terms(), &world.ben).unwrap(),
            "expected a statement of the type `urn:assize:declarations:v0.1`, found `urn:assize:waiver:v0.1`"
                .to_owned(),
        ),
        ("{".to_owned(), "is not a signed file of ours: the envelope is not JSON of the profile".to_owned()),
    ];
    for (text, expected) in table {
        assert_eq!(world.declined(&text), format!("declarations/a.json: {expected}"));
    }
}

#[test]
fn a_document_beside_the_case_must_be_the_one_declared() {
    let world = World::new();
    let text = sign_declaration(&world.declaration(), &world.ben);
    fs::create_dir(world.folder.path().join("docs")).unwrap();
    fs::write(world.folder.path().join("docs/label.md"), "another label").unwrap();
    assert_eq!(
        world.declined(&text),
        format!(
            "declarations/a.json: the document `docs/label.md` has the digest {}, the declaration says {}; declare it anew, or put the document back",
            Digest::of(b"another label"),
            Digest::of(b"label")
        )
    );
    fs::write(world.folder.path().join("docs/label.md"), "label").unwrap();
    let file = EnvelopeFile { path: "declarations/a.json".to_owned(), text };
    assert!(declarations(&file, &world.case(), &[world.ben.verifying()]).is_ok());
}

#[test]
fn only_json_files_are_looked_at_in_the_order_of_their_names() {
    let world = World::new();
    let case = world.case();
    assert_eq!(envelopes(&case, WAIVERS), Ok(Vec::new()));
    let folder = world.folder.path().join(WAIVERS);
    fs::create_dir(&folder).unwrap();
    for (name, text) in [("b.json", "b"), ("a.json", "a"), ("notes.md", "n")] {
        fs::write(folder.join(name), text).unwrap();
    }
    let file = |name: &str, text: &str| EnvelopeFile { path: format!("waivers/{name}"), text: text.to_owned() };
    assert_eq!(envelopes(&case, WAIVERS), Ok(vec![file("a.json", "a"), file("b.json", "b")]));
}
