//! Drawings. Every figure beside one is a point of the drawn series as it was signed; coordinates are no figures.

use crate::{figures, html::Html, run};
use evidence::{Decimal, Json};

/// Drawing units across and down; the drawing is stretched to its place, its strokes are not.
const ACROSS: f64 = 1000.0;
const DOWN: f64 = 300.0;

/// One point of a training curve, with what it says in words.
struct Point<'a> {
    step: f64,
    value: f64,
    step_text: &'a Json,
    value_text: &'a Json,
}

fn points<'a>(curve: &'a [Json], key: &str) -> Vec<Point<'a>> {
    let point = |json: &'a Json| {
        let (step_text, value_text) = (json.get("step")?, json.get(key)?);
        let (step, value) = (step_text.as_decimal()?.to_f64(), value_text.as_decimal()?.to_f64());
        Some(Point { step, value, step_text, value_text })
    };
    curve.iter().filter_map(point).collect()
}

/// Loss by step, from the lowest to the highest loss drawn.
pub(crate) fn loss(html: &mut Html, curve: &[Json]) {
    let points = points(curve, "loss");
    let by_value = |a: &&Point<'_>, b: &&Point<'_>| a.value.total_cmp(&b.value);
    let (Some(low), Some(high)) = (points.iter().min_by(by_value), points.iter().max_by(by_value)) else { return };
    let frame = Frame::new(&points, low.value, high.value);
    let caption = "Training loss by step, in nat per token";
    let draw = |html: &mut Html| {
        html.open("polyline", &[("class", "line"), ("points", &frame.path(&points))]);
        html.raw("</polyline>");
        frame.hover(html, &points, "loss");
    };
    plot(html, caption, [Some(high.value_text), Some(low.value_text)], &points, draw, |html| {
        reading(html, "Highest ", high);
        reading(html, "; lowest ", low);
        if let Some(last) = points.last() {
            reading(html, "; last ", last);
        }
        html.raw(".");
    });
}

fn reading(html: &mut Html, label: &'static str, point: &Point<'_>) {
    html.raw(label);
    figures::value(html, point.value_text);
    html.raw(" at step ");
    figures::value(html, point.step_text);
}

/// Compute spent by step, from zero, with the line that may not be crossed.
pub(crate) fn compute(html: &mut Html, curve: &[Json], budgets: &[Json]) {
    let points = points(curve, "computeFlop");
    let Some(last) = points.last() else { return };
    let in_flop = budgets.iter().filter(|budget| run::text(budget, &["unit"]) == Some("FLOP"));
    let cap = in_flop.filter_map(|budget| budget.get("cap")).min_by_key(|cap| cap.as_decimal());
    let cap_value = cap.and_then(Json::as_decimal).map(Decimal::to_f64);
    let top = cap_value.unwrap_or(last.value).max(last.value);
    // A little room above, so that the line of the cap stands inside the drawing.
    let frame = Frame::new(&points, 0.0, top * 1.02);
    let caption = "Cumulative compute by step, in FLOP, from zero";
    let draw = |html: &mut Html| {
        let area = format!("0,{DOWN} {} {ACROSS},{DOWN}", frame.path(&points));
        html.open("polygon", &[("class", "area"), ("points", &area)]);
        html.raw("</polygon>");
        html.open("polyline", &[("class", "line"), ("points", &frame.path(&points))]);
        html.raw("</polyline>");
        if let Some(cap) = cap_value {
            let y = round(frame.y(cap));
            html.open("line", &[("class", "cap"), ("x1", "0"), ("x2", "1000"), ("y1", &y), ("y2", &y)]);
            html.raw("</line>");
        }
        frame.hover(html, &points, "FLOP");
    };
    plot(html, caption, [cap.or(Some(last.value_text)), None], &points, draw, |html| {
        reading(html, "Spent ", last);
        if let Some(cap) = cap {
            html.raw("; the dashed line is the budget, ");
            figures::value(html, cap);
        }
        html.raw(".");
    });
}

/// The frame of a drawing: labels as text beside it, so that they keep their size on a narrow screen. An absent lower
/// label means that the drawing begins at zero.
fn plot(
    html: &mut Html,
    caption: &'static str,
    y_labels: [Option<&Json>; 2],
    points: &[Point<'_>],
    draw: impl FnOnce(&mut Html),
    reading: impl FnOnce(&mut Html),
) {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    html.within("figure", &[("class", "plot")], |html| {
        html.leaf("figcaption", &[], caption);
        html.within("div", &[("class", "frame")], |html| {
            html.within("div", &[("class", "y")], |html| {
                for label in y_labels {
                    html.within("span", &[], |html| match label {
                        Some(label) => figures::value(html, label),
                        None => html.raw("zero"),
                    });
                }
            });
            let attributes =
                [("class", "drawing"), ("viewBox", "0 0 1000 300"), ("preserveAspectRatio", "none"), ("role", "img")];
            html.within("svg", &attributes, |html| {
                html.leaf("title", &[], caption);
                draw(html);
            });
            html.within("div", &[("class", "x")], |html| {
                for point in [first, last] {
                    html.within("span", &[], |html| {
                        html.raw("step ");
                        figures::value(html, point.step_text);
                    });
                }
            });
        });
        html.within("p", &[("class", "reading")], reading);
    });
}

/// From steps and values to drawing units.
struct Frame {
    step_first: f64,
    step_span: f64,
    low: f64,
    span: f64,
}

impl Frame {
    fn new(points: &[Point<'_>], low: f64, high: f64) -> Self {
        let step_first = points.first().map_or(0.0, |point| point.step);
        let step_last = points.last().map_or(1.0, |point| point.step);
        Self { step_first, step_span: positive(step_last - step_first), low, span: positive(high - low) }
    }

    fn x(&self, step: f64) -> f64 {
        (step - self.step_first) / self.step_span * ACROSS
    }

    fn y(&self, value: f64) -> f64 {
        DOWN - (value - self.low) / self.span * DOWN
    }

    fn path(&self, points: &[Point<'_>]) -> String {
        let pair = |point: &Point<'_>| format!("{},{}", round(self.x(point.step)), round(self.y(point.value)));
        points.iter().map(pair).collect::<Vec<_>>().join(" ")
    }

    /// Invisible bands, one a point, that say what was signed when pointed at.
    fn hover(&self, html: &mut Html, points: &[Point<'_>], unit: &'static str) {
        for (position, point) in points.iter().enumerate() {
            let x = self.x(point.step);
            let before = position.checked_sub(1).map_or(x, |before| self.x(points[before].step));
            let after = points.get(position + 1).map_or(x, |after| self.x(after.step));
            let (left, width) = ((before + x) / 2.0, positive((after - before) / 2.0));
            html.within("rect", &[("x", &round(left)), ("width", &round(width)), ("height", "300")], |html| {
                html.within("title", &[], |html| {
                    html.raw("step ");
                    plain(html, point.step_text);
                    html.raw(": ");
                    html.raw(unit);
                    html.raw(" ");
                    plain(html, point.value_text);
                });
            });
        }
    }
}

/// A scalar without elements, for places that hold text alone.
fn plain(html: &mut Html, json: &Json) {
    match json {
        Json::Text(text) => html.text(text),
        Json::Int(value) => html.text(&value.to_string()),
        Json::Decimal(value) => html.text(&value.to_string()),
        Json::Bool(_) | Json::List(_) | Json::Map(_) => {}
    }
}

fn positive(span: f64) -> f64 {
    if span > 0.0 { span } else { 1.0 }
}

/// A coordinate to a tenth of a drawing unit.
fn round(coordinate: f64) -> String {
    let text = format!("{coordinate:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A bar of `part` against `whole`; nothing when either is absent or the whole is not above zero.
pub(crate) fn bar(html: &mut Html, class: &'static str, part: Option<&Json>, whole: Option<&Json>) {
    let number = |json: Option<&Json>| json.and_then(Json::as_decimal).map(Decimal::to_f64);
    let (Some(part), Some(whole)) = (number(part), number(whole)) else { return };
    if whole <= 0.0 {
        return;
    }
    let width = round((part / whole).clamp(0.0, 1.0) * 100.0);
    let class = format!("bar {class}");
    let attributes =
        [("class", class.as_str()), ("viewBox", "0 0 100 8"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
    html.within("svg", &attributes, |html| {
        html.raw("<rect class=\"track\" width=\"100\" height=\"8\"/>");
        html.open("rect", &[("class", "part"), ("width", &width), ("height", "8")]);
        html.raw("</rect>");
    });
}

/// Where `value`, and its interval if it has one, lies on the stretch that `all` values span.
pub(crate) fn strip(html: &mut Html, item: &Json, all: &[&Json]) {
    let number = |json: &Json, key: &str| json.get(key).and_then(Json::as_decimal).map(Decimal::to_f64);
    let keys = ["value", "loss", "lower", "upper"];
    let every: Vec<f64> = all.iter().flat_map(|json| keys.iter().filter_map(|key| number(json, key))).collect();
    let low = every.iter().copied().fold(f64::INFINITY, f64::min);
    let high = every.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let Some(value) = number(item, "value").or_else(|| number(item, "loss")) else { return };
    let x = |value: f64| round(4.0 + (value - low) / positive(high - low) * 92.0);
    let attributes =
        [("class", "strip"), ("viewBox", "0 0 100 10"), ("preserveAspectRatio", "none"), ("aria-hidden", "true")];
    html.within("svg", &attributes, |html| {
        html.raw("<path class=\"axis\" d=\"M0 5H100\"/>");
        if let (Some(lower), Some(upper)) = (number(item, "lower"), number(item, "upper")) {
            html.open("path", &[("class", "span"), ("d", &format!("M{} 5H{}", x(lower), x(upper)))]);
            html.raw("</path>");
        }
        html.open("path", &[("class", "point"), ("d", &format!("M{} 5h0", x(value)))]);
        html.raw("</path>");
    });
}
