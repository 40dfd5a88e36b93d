//! Everything a scenario may say: the closed table of `use.*`, each with the question that asks for it.

use crate::expr::{Scalar, Type};

/// One answer that may be chosen: its name, and what it means.
pub type Choice = (&'static str, &'static str);

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UseKind {
    Flag,
    /// One of these.
    One(&'static [Choice]),
    /// Any of these; the empty list says that none holds.
    Any(&'static [Choice]),
    Count,
    /// A number above or equal to zero, as an exact decimal.
    Quantity,
    Day,
    /// For people to read: no class asks for it.
    Text,
}

impl UseKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flag => "flag",
            Self::One(_) => "choice",
            Self::Any(_) => "choices",
            Self::Count => "count",
            Self::Quantity => "quantity",
            Self::Day => "day",
            Self::Text => "text",
        }
    }

    #[must_use]
    pub const fn value_type(self) -> Type {
        match self {
            Self::Flag => Type::BOOL,
            Self::One(_) | Self::Text => Type::TEXT,
            Self::Any(_) => Type::List(Scalar::Text),
            Self::Count => Type::INT,
            Self::Quantity => Type::DECIMAL,
            Self::Day => Type::TIMESTAMP,
        }
    }

    /// What may be chosen; nothing for the other kinds.
    #[must_use]
    pub const fn choices(self) -> &'static [Choice] {
        match self {
            Self::One(choices) | Self::Any(choices) => choices,
            _ => &[],
        }
    }
}

/// One thing a scenario may say.
#[derive(Debug, PartialEq, Eq)]
pub struct UseFact {
    pub name: &'static str,
    pub kind: UseKind,
    pub question: &'static str,
}

/// The fact of that name, with or without `use.` before it.
#[must_use]
pub fn find(name: &str) -> Option<&'static UseFact> {
    let name = name.strip_prefix("use.").unwrap_or(name);
    FACTS.iter().find(|fact| fact.name == name)
}

const fn flag(name: &'static str, question: &'static str) -> UseFact {
    UseFact { name, kind: UseKind::Flag, question }
}

const fn one(name: &'static str, choices: &'static [Choice], question: &'static str) -> UseFact {
    UseFact { name, kind: UseKind::One(choices), question }
}

const fn any(name: &'static str, choices: &'static [Choice], question: &'static str) -> UseFact {
    UseFact { name, kind: UseKind::Any(choices), question }
}

const fn count(name: &'static str, question: &'static str) -> UseFact {
    UseFact { name, kind: UseKind::Count, question }
}

const fn quantity(name: &'static str, question: &'static str) -> UseFact {
    UseFact { name, kind: UseKind::Quantity, question }
}

const JURISDICTIONS: &[Choice] = &[
    ("EU", "European Union"),
    ("CN", "China"),
    ("KR", "Korea"),
    ("JP", "Japan"),
    ("UK", "United Kingdom"),
    ("SG", "Singapore"),
    ("US", "United States, no state in particular"),
    ("US-CA", "California"),
    ("US-NY", "New York"),
    ("US-IL", "Illinois"),
    ("US-CO", "Colorado"),
    ("US-TX", "Texas"),
];
const ROLES: &[Choice] = &[
    ("provider", "develops it, or has it developed, and offers it under its own name"),
    ("deployer", "uses what another provides"),
    ("modifier", "changes a model that another provides"),
];
const AUDIENCES: &[Choice] = &[
    ("public", "anybody may use it"),
    ("business", "other organisations"),
    ("internal", "the own organisation, research"),
];
const EXCLUSIONS: &[Choice] = &[
    ("none", "neither of these"),
    ("military", "exclusively military, defence or national security"),
    ("research-only", "made and used for the sole purpose of scientific research and development"),
];
const MODALITIES: &[Choice] =
    &[("text", "text"), ("image", "images"), ("audio", "sound, speech"), ("video", "video"), ("code", "program code")];
const AUTONOMIES: &[Choice] = &[
    ("informs", "a person decides, the output is one consideration among others"),
    ("influences", "the output materially influences what a person decides"),
    ("decides", "it decides without a person"),
];
const PRACTICES: &[Choice] = &[
    ("manipulation", "techniques below a person's awareness, or purposefully manipulative or deceptive"),
    ("vulnerability-exploitation", "exploits age, disability, or a social or economic situation"),
    ("social-scoring", "rates people over time by social behaviour or personal characteristics"),
    ("face-scraping", "builds face recognition databases by untargeted scraping of the internet or of CCTV"),
];
const MISUSES: &[Choice] = &[
    ("intended", "it is made for that"),
    ("foreseeable", "not made for it, but such use can be foreseen"),
    ("no", "neither"),
];
const FUNCTIONS: &[Choice] = &[
    ("biometric-identification", "recognises who a person is by body or behaviour, from a distance or one to one"),
    ("biometric-categorisation", "sorts people into categories by biometric data"),
    ("emotion-recognition", "infers emotions or intentions"),
    (
        "infrastructure-safety",
        "safety component of digital infrastructure, road traffic, water, gas, heating, electricity",
    ),
    ("education-admission", "decides access or admission to education, or assigns people to institutions"),
    ("education-outcomes", "evaluates learning outcomes"),
    ("education-level", "assesses which level of education somebody will receive"),
    ("exam-proctoring", "watches for prohibited behaviour during tests"),
    ("recruitment", "job advertisements to chosen people, filtering applications, evaluating candidates"),
    ("work-management", "terms of work, promotion, dismissal, tasks by behaviour or traits, watching performance"),
    ("public-benefits", "eligibility for public assistance or services; granting, reducing, revoking, reclaiming them"),
    ("creditworthiness", "creditworthiness or credit scores of people"),
    ("life-health-insurance", "risk and price of life or health insurance for people"),
    ("emergency-dispatch", "classifies emergency calls, dispatches first response, triages emergency patients"),
    ("victim-risk", "the risk that a person becomes the victim of an offence"),
    ("polygraph", "a polygraph or a similar tool"),
    ("evidence-reliability", "how reliable evidence of an offence is"),
    ("offending-risk", "the risk that a person offends or offends again"),
    ("personality-or-past-crime", "personality traits or past criminal behaviour of persons or groups"),
    ("crime-profiling", "profiles people while offences are detected, investigated or prosecuted"),
    ("border-risk", "a security, health or irregular-migration risk of a person who enters"),
    ("asylum-visa-examination", "examines applications for asylum, visas or residence permits"),
    ("border-identification", "detects, recognises or identifies people at borders, in migration or asylum"),
    (
        "judicial-assistance",
        "researches or interprets facts and law, or applies law to facts, for a court or a dispute body",
    ),
    ("election-influence", "influences the outcome of a vote or how people vote, or helps a campaign"),
];
const SETTINGS: &[Choice] = &[
    ("workplace", "people at their work"),
    ("education", "people in education or training institutions"),
    ("public-space", "physical places open to the public"),
];
const BODIES: &[Choice] = &[
    ("law-enforcement", "law enforcement authorities, or EU bodies in their support"),
    ("migration-authority", "authorities for migration, asylum or border control"),
    ("judicial-authority", "courts and judicial authorities"),
    ("dispute-body", "alternative dispute resolution"),
    ("public-authority", "other public authorities"),
];
const OBJECTIVES: &[Choice] = &[
    ("victims", "targeted search for victims or missing persons"),
    ("threat", "an imminent threat to life, or a genuine threat of a terrorist attack"),
    ("suspect", "locating or identifying a suspect of an Annex II offence, punishable by four years or more"),
    ("none", "none of these"),
];
const CATEGORIES: &[Choice] = &[
    ("race", "race"),
    ("political-opinions", "political opinions"),
    ("union-membership", "trade union membership"),
    ("beliefs", "religious or philosophical beliefs"),
    ("sex-life", "sex life or sexual orientation"),
    ("other-protected", "another sensitive or protected attribute"),
];
const TASKS: &[Choice] = &[
    ("narrow-procedural", "a narrow procedural task"),
    ("improves-completed", "improves the result of a human activity that is completed"),
    ("detects-deviations", "detects patterns of earlier decisions, or deviations from them"),
    ("preparatory", "prepares an assessment"),
];
const PRODUCT_LAWS: &[Choice] = &[
    ("none", "no product of Annex I"),
    ("toys", "Annex I, 2: toys"),
    ("recreational-craft", "Annex I, 3: recreational craft"),
    ("lifts", "Annex I, 4: lifts"),
    ("explosive-atmospheres", "Annex I, 5: equipment for explosive atmospheres"),
    ("radio", "Annex I, 6: radio equipment"),
    ("pressure", "Annex I, 7: pressure equipment"),
    ("cableways", "Annex I, 8: cableways"),
    ("protective-equipment", "Annex I, 9: personal protective equipment"),
    ("gas-appliances", "Annex I, 10: appliances burning gaseous fuels"),
    ("medical-devices", "Annex I, 11: medical devices"),
    ("in-vitro-diagnostics", "Annex I, 12: in vitro diagnostic devices"),
    ("machinery", "machinery: Section B since the amendment of 2026"),
    ("aviation-security", "Annex I, 13: civil aviation security"),
    ("two-three-wheelers", "Annex I, 14: two- and three-wheelers, quadricycles"),
    ("farm-vehicles", "Annex I, 15: agricultural and forestry vehicles"),
    ("marine", "Annex I, 16: marine equipment"),
    ("rail", "Annex I, 17: rail"),
    ("motor-vehicles", "Annex I, 18 and 19: motor vehicles"),
    ("aviation", "Annex I, 20: civil aviation"),
];
const PRODUCT_ROLES: &[Choice] = &[
    ("safety-component", "a safety component of such a product"),
    ("product", "itself such a product"),
    ("neither", "neither"),
];
const SERVICES: &[Choice] = &[
    ("companion", "keeps company, sustains a relationship"),
    ("customer-service", "answers customers about an offer"),
    ("knowledge-qa", "answers questions of knowledge"),
    ("work-assistant", "helps with work"),
    ("other", "none of these, or no conversation"),
];
const SECTORS: &[Choice] = &[
    ("energy", "energy supply"),
    ("drinking-water", "drinking water"),
    ("healthcare", "provision of health care"),
    ("medical-devices", "medical devices"),
    ("nuclear", "nuclear materials and facilities"),
    ("criminal-biometrics", "biometric analysis for criminal investigation"),
    ("hiring-lending", "hiring, loan screening, judgements on a person's rights and duties"),
    ("transport", "transport means, facilities and systems"),
    ("public-services", "decisions of public bodies about people"),
    ("student-assessment", "assessment of pupils"),
];

/// The table. Questions of the same weight are asked in this order.
pub const FACTS: &[UseFact] = &[
    UseFact { name: "purpose", kind: UseKind::Text, question: "What is it for, in a sentence?" },
    any("jurisdictions", JURISDICTIONS, "Where is it offered or used?"),
    one("role", ROLES, "What is your part?"),
    one("audience", AUDIENCES, "Who may use it?"),
    one("exclusion", EXCLUSIONS, "Is it made or used only for one of these?"),
    any("functions", FUNCTIONS, "Which of these does it do, or help to do?"),
    any("on_behalf_of", BODIES, "Which of these use it, or have it used on their behalf?"),
    any("settings", SETTINGS, "In which of these settings is it used?"),
    flag("generative", "Does it generate or manipulate text, images, sound or video?"),
    any("modalities", MODALITIES, "What does it put out?"),
    flag("interacts", "Is it intended to interact directly with people?"),
    one("service", SERVICES, "What kind of service is it?"),
    any("practices", PRACTICES, "Does it do, or rest on, any of these?"),
    UseFact {
        name: "on_market",
        kind: UseKind::Day,
        question: "On which day was it, or will it be, first placed on the market or put into service?",
    },
    one("autonomy", AUTONOMIES, "How far does it decide by itself?"),
    // EU, Art. 5
    flag("distorts_behaviour", "Is its aim or effect to materially distort how people behave?"),
    flag("significant_harm", "Does that cause, or is it reasonably likely to cause, significant harm to somebody?"),
    flag(
        "score_unrelated_context",
        "Does the score lead to worse treatment in contexts unrelated to where the data comes from?",
    ),
    flag(
        "score_disproportionate",
        "Does the score lead to treatment that is unjustified or disproportionate to the behaviour?",
    ),
    one(
        "intimate_imagery",
        MISUSES,
        "Does it make realistic pictures, video or sound of a real person's intimate parts or sexual acts?",
    ),
    one("abuse_material", MISUSES, "Does it make child sexual abuse material?"),
    flag("misuse_reproducible", "Can such output be had again without significant technical modification?"),
    flag(
        "safeguards_reliable",
        "Do reasonable safeguards reliably prevent such output and correct misuse that is reported?",
    ),
    flag(
        "explicit_consent",
        "Has every person shown given free, specific, informed, unambiguous and explicit consent?",
    ),
    flag("solely_profiling", "Does the risk rest solely on profiling, or on personality traits and characteristics?"),
    flag(
        "supports_human_assessment",
        "Does it only support a human assessment that already rests on objective, verifiable facts linked to a crime?",
    ),
    flag("medical_or_safety", "Is emotion recognition there for medical or safety reasons?"),
    any("categories", CATEGORIES, "Which attributes does the categorisation infer?"),
    flag("categorises_individuals", "Does it categorise people individually?"),
    flag("dataset_labelling_only", "Does it only label or filter lawfully acquired biometric datasets?"),
    flag("verification_only", "Is its sole purpose to confirm that a person is who they claim to be?"),
    flag("remote_identification", "Does it identify people at a distance, without their active part?"),
    flag("real_time", "Does it identify people in real time?"),
    one(
        "identification_objective",
        OBJECTIVES,
        "For which objective is the real-time identification strictly necessary?",
    ),
    flag("identification_authorised", "Is each such use authorised by a court or an independent authority beforehand?"),
    // EU, Annex I and III
    flag("fraud_detection_only", "Is it used for the purpose of detecting financial fraud?"),
    flag("travel_document_check_only", "Does it only verify travel documents?"),
    flag("voters_exposed", "Are people directly exposed to its output?"),
    any("tasks", TASKS, "Is it intended for no more than one of these?"),
    flag(
        "influences_without_review",
        "Is it meant to replace or influence the completed human assessment without proper human review?",
    ),
    flag("profiling", "Does it profile people: evaluate personal aspects by automated processing of personal data?"),
    one("product_law", PRODUCT_LAWS, "Which product law covers it, or the product that it is part of?"),
    one("product_role", PRODUCT_ROLES, "Is it a safety component of such a product, or the product itself?"),
    flag("third_party_assessment", "Must that product undergo a conformity assessment by a third party?"),
    // EU, Art. 50
    flag("obvious_ai", "Is it obvious to a reasonably well-informed, observant person that this is an AI?"),
    flag(
        "assistive_editing",
        "Does it only assist standard editing, or leave the input and its meaning substantially as they are?",
    ),
    flag(
        "deepfakes",
        "Does it make pictures, sound or video that falsely appear to show real persons, places or events?",
    ),
    flag("artistic_work", "Is that part of an evidently artistic, creative, satirical or fictional work?"),
    flag("public_interest_text", "Is its text published to inform the public on matters of public interest?"),
    flag("human_review", "Is that text reviewed by people, or under editorial control?"),
    flag("editorial_responsibility", "Does somebody hold editorial responsibility for the publication?"),
    flag("authorised_by_law", "Is the use authorised by law to detect, prevent, investigate or prosecute offences?"),
    flag("public_crime_reporting", "Can the public use it to report an offence?"),
    // EU, general-purpose models
    flag("general_model", "Can the model generate language as text or sound, images from text, or video from text?"),
    quantity("training_flop", "How much compute, in FLOP, went directly into updating the model's parameters?"),
    quantity(
        "cumulative_flop",
        "How much compute, in FLOP, went into it in all: synthetic data, earlier models and tuning included?",
    ),
    flag("designated", "Has the Commission designated it as of systemic risk?"),
    count("business_users_eu", "How many registered business users does it have in the Union?"),
    flag(
        "open_source",
        "Is its licence free and open, with public weights, architecture and usage information, and no charge?",
    ),
    flag("modifies_existing", "Is an existing general-purpose model of another provider modified?"),
    flag("original_compute_known", "Is the training compute of the original model known?"),
    quantity("modification_share", "Compute of the modification divided by the training compute of the original?"),
    quantity("modification_flop", "Compute of the modification, in FLOP?"),
    flag("original_systemic", "Is the original a model with systemic risk?"),
    // China
    flag("opinion_attributes", "Has it public-opinion attributes, or can it mobilise people?"),
    flag("emotional_interaction", "Does it offer sustained emotional interaction with a human-like persona?"),
    count("registered_users", "How many registered users does it have?"),
    count("monthly_users", "How many users does it have in a month?"),
    flag("launch_or_major_change", "Is it about to be launched, or changed in a major way?"),
    flag("minors", "Are minors among its users?"),
    // United States
    quantity(
        "cumulative_operations",
        "How many operations, integer or floating-point, went into training it, later tuning included?",
    ),
    quantity("revenue_usd", "What was the gross revenue of the group in the preceding calendar year, in US dollars?"),
    flag(
        "forbidden_intent",
        "Is it made with intent to incite self-harm or crime, infringe rights, discriminate unlawfully, or make unlawful sexual material?",
    ),
    flag("consequential_decision", "Does it take part in consequential decisions about people?"),
    flag("new_york_city", "Is it used for jobs or promotions in New York City?"),
    // Korea
    any("sectors", SECTORS, "In which of these sectors is it used?"),
    flag("most_advanced", "Does it use the most advanced technology?"),
    flag("broad_risk", "Does its risk reach broadly and seriously into life, safety or rights?"),
    flag("established_kr", "Is the operator established in Korea?"),
    quantity("revenue_krw", "What was the revenue of the preceding year, in won?"),
    quantity("ai_revenue_krw", "What was the revenue from AI services of the preceding year, in won?"),
    count("daily_users", "How many users a day in Korea, as an average of three months?"),
];
