//! What only a person can say, asked by frameworks that a house adopts: NIST AI RMF, ISO/IEC 42001, MGF. Kept sorted by id.

use crate::Unit;
use crate::metric::{About::*, Kind::*, Metric, row};

// A row reads as one block; the formatter would give every word a line of its own.
#[rustfmt::skip]
pub(super) const FRAMEWORKS: &[Metric] = &[
    row("change.loss_goal", Quantity, Unit::NatPerToken, Organisation, [
        "Largest rise of the held-out loss that the house accepts when a model is changed.",
        "Taken from the house's criteria by the person answerable.",
        "A goal, not a measurement.",
        "0.05.",
    ]),
    row("components.uncontrolled", Count, Unit::One, Organisation, [
        "Components of the system, those of third parties among them, for which no risk control is written down.",
        "Counted over the bill of materials by the person answerable.",
        "Whether a control is enough is for a reader.",
        "0.",
    ]),
    row("components.unlisted", Count, Unit::One, Organisation, [
        "Third-party weights, data and libraries that the bill of materials leaves out.",
        "Counted against the released artefact by the person answerable.",
        "What nobody found is not in it.",
        "0.",
    ]),
    row("doc.accountability_review", Document, Unit::One, Organisation, [
        "Review of the risks to transparency and accountability: who answers, what is disclosed, what stays hidden.",
        "Declared with the digest of the document.",
        "Its findings are for a reader.",
        "accountability.md.",
    ]),
    row("doc.ai_policy", Document, Unit::One, Organisation, [
        "AI policy of the house, with the other policies it touches and the date of its last review.",
        "Declared with the digest of the document.",
        "Whether it is followed is not asked.",
        "ai-policy.md.",
    ]),
    row("doc.ai_resources", Document, Unit::One, Organisation, [
        "Register of the resources behind a system: data, tools, computing, people.",
        "Declared with the digest of the document.",
        "Its completeness is for a reader.",
        "resources.md.",
    ]),
    row("doc.ai_roles", Document, Unit::One, Organisation, [
        "Roles and responsibilities for AI, and the way to report a concern.",
        "Declared with the digest of the document.",
        "That the people are there is not asked.",
        "roles.md.",
    ]),
    row("doc.data_management", Document, Unit::One, Organisation, [
        "Process for data: development, acquisition, quality, provenance, preparation.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "data-management.md.",
    ]),
    row("doc.decommissioning_plan", Document, Unit::One, Organisation, [
        "Plan to take the system out of service.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "decommissioning.md.",
    ]),
    row("doc.explanation", Document, Unit::One, Model, [
        "What is known of why the model puts out what it does, and how its output is to be read.",
        "Declared with the digest of the document.",
        "Whether it explains is for a reader.",
        "explanation.md.",
    ]),
    row("doc.feedback_record", Document, Unit::One, Organisation, [
        "Record of users' reports and of what they changed in the evaluation.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "feedback.md.",
    ]),
    row("doc.generalisation_limits", Document, Unit::One, Model, [
        "Limits of the model outside the conditions it was made and tested in.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "limits.md.",
    ]),
    row("doc.impact_assessment", Document, Unit::One, Organisation, [
        "Impact assessment of the system on individuals, groups and society.",
        "Declared with the digest of the document.",
        "Its findings are for a reader.",
        "impact.md.",
    ]),
    row("doc.incident_process", Document, Unit::One, Organisation, [
        "Process for incidents and errors: whom to tell, in what time, how to recover.",
        "Declared with the digest of the document.",
        "That it is followed is not asked.",
        "incidents.md.",
    ]),
    row("doc.life_cycle", Document, Unit::One, Organisation, [
        "Life cycle file: objectives, processes, requirements, design, verification, deployment, operation, technical documentation.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "life-cycle.md.",
    ]),
    row("doc.metric_review", Document, Unit::One, Organisation, [
        "Review of whether the metrics fit their purpose and the controls work.",
        "Declared with the digest of the document.",
        "Its findings are for a reader.",
        "metric-review.md.",
    ]),
    row("doc.party_information", Document, Unit::One, Organisation, [
        "What users and other interested parties are told, and how they reach the house.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "information.md.",
    ]),
    row("doc.performance_trend", Document, Unit::One, Model, [
        "Comparison of the measured performance with that of earlier releases and of the field.",
        "Declared with the digest of the document.",
        "Its findings are for a reader.",
        "trend.md.",
    ]),
    row("doc.privacy_assessment", Document, Unit::One, Organisation, [
        "Assessment of the privacy risk of the system.",
        "Declared with the digest of the document.",
        "Its findings are for a reader.",
        "privacy.md.",
    ]),
    row("doc.responsible_use", Document, Unit::One, Organisation, [
        "Processes and objectives for responsible use, and the intended use.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "responsible-use.md.",
    ]),
    row("doc.risk_register", Document, Unit::One, Organisation, [
        "Register of existing, unanticipated and emergent risks, with owner and date of each.",
        "Declared with the digest of the document.",
        "What is not in it is not known.",
        "risk-register.md.",
    ]),
    row("doc.tevv_plan", Document, Unit::One, Model, [
        "Plan of test, evaluation, verification and validation: design of experiments, collection of data, what the metrics stand for.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "tevv.md.",
    ]),
    row("doc.third_parties", Document, Unit::One, Organisation, [
        "Allocation of responsibilities between the house, its suppliers, partners and customers.",
        "Declared with the digest of the document.",
        "Its content is for a reader.",
        "third-parties.md.",
    ]),
    row("doc.unmeasured_risks", Document, Unit::One, Organisation, [
        "List of the risks that no metric measures, each with the reason.",
        "Declared with the digest of the document.",
        "Its completeness is for a reader.",
        "unmeasured.md.",
    ]),
    row("evaluation.deployment_like", Flag, Unit::One, Model, [
        "Whether the held-out text resembles what the system meets in use.",
        "Declared by a person who knows both.",
        "A judgement; nothing compares the two.",
        "true.",
    ]),
    row("fairness.groups", Count, Unit::One, Model, [
        "Groups of people between which the evaluation compares the system's behaviour.",
        "Counted over the fairness report by the person answerable.",
        "Groups that nobody thought of are not in it.",
        "6.",
    ]),
    row("incident.overdue", Count, Unit::One, Organisation, [
        "Incidents and errors that are past their own deadline without having been communicated or closed.",
        "Counted over the incident log by the person answerable.",
        "An incident nobody became aware of is not in it.",
        "0.",
    ]),
    row("mgf.dimensions", Count, Unit::One, Organisation, [
        "Dimensions of the Model AI Governance Framework for Generative AI that a dated self-assessment covers, of nine.",
        "Counted over the self-assessment by the person answerable.",
        "Says nothing of how well.",
        "9.",
    ]),
    row("monitoring.gap", Span, Unit::Second, Deployment, [
        "Longest time between two looks at the system's behaviour in use.",
        "Taken from the monitoring log by the person answerable.",
        "What was looked at is for a reader.",
        "168h.",
    ]),
    row("safety.refusal_goal", Quantity, Unit::One, Model, [
        "Share of questions that must be refused which the house asks of the model: its risk tolerance.",
        "Taken from the house's criteria by the person answerable.",
        "A goal; `refusal_bank` is the measurement.",
        "0.95.",
    ]),
    row("soa.excluded", List, Unit::One, Organisation, [
        "Controls of ISO/IEC 42001 Annex A that the statement of applicability leaves out, each there with its reason.",
        "Copied from the statement by the person answerable.",
        "Whether the reason holds is for a reader.",
        "A.10.2.",
    ]),
    row("soa.implemented", List, Unit::One, Organisation, [
        "Controls of ISO/IEC 42001 Annex A that the statement of applicability calls implemented.",
        "Copied from the statement by the person answerable.",
        "A statement; an auditor looks for the traces.",
        "A.2.2, A.2.3.",
    ]),
];
