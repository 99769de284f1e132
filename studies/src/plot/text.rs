//! Text: how wide it is, and its raised and lowered parts.
//!
//! Widths are those of the font that PNG files are drawn with. A viewer of the SVG may take another
//! one; DejaVu Sans is a wide font, so its text then hardly needs more room.

use std::sync::LazyLock;

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider as _};

/// DejaVu Sans, the part of it that we need: `font/README.md`.
pub(super) const FONT: &[u8] = include_bytes!("font/DejaVuSans.ttf");

/// What the font calls itself.
pub(super) const FONT_FAMILY: &str = "DejaVu Sans";

static WIDTHS: LazyLock<FontRef<'static>> =
    LazyLock::new(|| FontRef::new(FONT).expect("a font that was checked by a test"));

/// Size of raised and lowered text, as part of that of the other.
const SCRIPT: f64 = 0.7;

/// Where a part of a text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Base,
    Raised,
    Lowered,
}

/// Text in parts: `10^{−3} p_{T}` has four.
pub(super) fn parts(text: &str) -> Vec<(Level, &str)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("^{").into_iter().chain(rest.find("_{")).min() {
        let Some(length) = rest[start + 2..].find('}') else {
            break;
        };
        if start > 0 {
            parts.push((Level::Base, &rest[..start]));
        }
        let level = if rest[start..].starts_with('^') { Level::Raised } else { Level::Lowered };
        parts.push((level, &rest[start + 2..start + 2 + length]));
        rest = &rest[start + 3 + length..];
    }
    if !rest.is_empty() {
        parts.push((Level::Base, rest));
    }
    parts
}

/// Width of a text in a font of this size, both in pixels.
pub(super) fn width(text: &str, size: f64) -> f64 {
    let (characters, metrics) =
        (WIDTHS.charmap(), WIDTHS.glyph_metrics(Size::new(1.0), LocationRef::default()));
    let advance = |c: char| {
        let glyph = characters.map(c).unwrap_or_default();
        f64::from(metrics.advance_width(glyph).unwrap_or(0.6))
    };
    let part = |(level, text): (Level, &str)| {
        let scale = if level == Level::Base { 1.0 } else { SCRIPT };
        text.chars().map(advance).sum::<f64>() * scale * size
    };
    parts(text).into_iter().map(part).sum()
}

/// The contents of an SVG text element.
pub(super) fn spans(text: &str, size: f64) -> String {
    let mut svg = String::new();
    // Where the baseline is, below that of the text.
    let mut below = 0.0;
    for (level, part) in parts(text) {
        let (wanted, scale) = match level {
            Level::Base => (0.0, 1.0),
            Level::Raised => (-0.38 * size, SCRIPT),
            Level::Lowered => (0.2 * size, SCRIPT),
        };
        let part = escaped(part);
        if level == Level::Base && below == 0.0 {
            svg.push_str(&part);
        } else {
            let (dy, size) = (wanted - below, size * scale);
            svg.push_str(&format!(r#"<tspan dy="{dy:.2}" font-size="{size:.1}">{part}</tspan>"#));
        }
        below = wanted;
    }
    svg
}

/// A text as XML. Control characters and two others are not allowed there.
pub(super) fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_raised_and_lowered_parts() {
        use Level::{Base, Lowered, Raised};
        assert_eq!(parts("H_{T} [GeV]"), [(Base, "H"), (Lowered, "T"), (Base, " [GeV]")]);
        assert_eq!(parts("10^{−3}"), [(Base, "10"), (Raised, "−3")]);
        assert_eq!(parts("x^2 a_{b"), [(Base, "x^2 a_{b")]);
        assert_eq!(parts(""), []);
        let svg = spans("10^{3} < H", 20.0);
        assert!(svg.starts_with("10<tspan dy=\"-7.60\" font-size=\"14.0\">3</tspan>"), "{svg}");
        assert!(svg.contains("dy=\"7.60\" font-size=\"20.0\"> &lt; H"), "{svg}");
    }

    #[test]
    fn the_font_is_the_one_that_figures_ask_for() {
        // Digits of DejaVu Sans are 1303 of 2048 units wide.
        assert!((width("0123", 20.0) - 4.0 * 20.0 * 1303.0 / 2048.0).abs() < 1e-3);
        assert!((width("10^{2}", 10.0) - 2.7 * 10.0 * 1303.0 / 2048.0).abs() < 1e-3);
        let names = WIDTHS.localized_strings(skrifa::string::StringId::FAMILY_NAME);
        assert!(names.into_iter().any(|name| name.to_string() == FONT_FAMILY));
    }
}
