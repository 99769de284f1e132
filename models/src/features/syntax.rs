//! The text form of feature specifications.
//!
//! A recursive-descent parser without look-ahead beyond one character. What the grammar is, is
//! said at [`FeatureSpec::parse`](super::FeatureSpec::parse). It does not know which columns a
//! stream has: that is [`FeatureSpec::check`](super::FeatureSpec::check).

use scout40_replay::event::{COLUMNS, Collection, Column};

use super::{Feature, MAX_FEATURES, Transform, is_usable};
use crate::error::{Error, Result};

const LAYOUTS: &str = "l1-57, axol1tl, thesis-99, thesis-99:muon-units=calo";

/// Names of the columns that can be features, comma-separated.
pub(super) fn usable_names() -> String {
    let names = COLUMNS
        .iter()
        .filter(|spec| is_usable(spec.column))
        .map(|spec| spec.name)
        .collect::<Vec<_>>();
    names.join(", ")
}

/// The features that a text asks for.
pub(super) fn parse(text: &str) -> Result<Vec<Feature>> {
    if let Some(features) = layout(text.trim()) {
        return Ok(features);
    }
    let mut parser = Parser { text, at: 0, features: Vec::new() };
    loop {
        parser.item()?;
        parser.skip_blanks();
        if parser.at == text.len() {
            return Ok(parser.features);
        }
        parser.expect(',')?;
    }
}

fn layout(name: &str) -> Option<Vec<Feature>> {
    use Transform::{Halve, Identity, Quarter, QuarterTurn};
    let hw = [Identity; 3];
    let halved = [Halve, Identity, Identity];
    match name {
        "l1-57" => Some(objects([4, 4, 10], hw, hw)),
        "axol1tl" => Some(objects([4, 4, 10], halved, halved)),
        "thesis-99" | "thesis-99:muon-units=hw" => Some(objects([12, 8, 12], hw, hw)),
        "thesis-99:muon-units=calo" => {
            Some(objects([12, 8, 12], hw, [Identity, Quarter, QuarterTurn]))
        }
        _ => None,
    }
}

/// MET, then so many e/gammas, muons and jets, each pT, eta, phi.
fn objects(counts: [u8; 3], calo: [Transform; 3], muon: [Transform; 3]) -> Vec<Feature> {
    let value = |column, index, transform| Feature::Value { column, index, transform };
    let mut features =
        vec![value(Column::MetPt, 0, calo[0]), Feature::Zero, value(Column::MetPhi, 0, calo[2])];
    let kinds = [(Collection::EGamma, calo), (Collection::Muon, muon), (Collection::Jet, calo)];
    for ((collection, transforms), count) in kinds.into_iter().zip(counts) {
        let columns = collection.kinematics().expect("objects have kinematics");
        for index in 0..count {
            features.extend((0..3).map(|k| value(columns[k], index, transforms[k])));
        }
    }
    features
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    features: Vec<Feature>,
}

impl<'a> Parser<'a> {
    fn item(&mut self) -> Result<()> {
        let begin = self.next_token();
        let name = self.word();
        if name.is_empty() {
            let problem =
                format!("expected a layout ({LAYOUTS}) or a feature, found {}", self.found());
            return Err(self.error(begin, problem));
        }
        if name == "zero" {
            return self.push(begin, Feature::Zero);
        }
        let objects =
            if self.peek() == Some('[') { Some(self.indices(begin, name)?) } else { None };
        let fields = self.fields()?;
        for index in objects.clone().unwrap_or(0..1) {
            for &(at, field, divisor) in &fields {
                let feature = self.feature((at, name, field), objects.is_some(), index, divisor)?;
                self.push(begin, feature)?;
            }
        }
        Ok(())
    }

    fn feature(
        &self,
        (at, object, field): (usize, &str, &str),
        has_index: bool,
        index: u8,
        divisor: u8,
    ) -> Result<Feature> {
        let name = if field.is_empty() { object.to_owned() } else { format!("{object}_{field}") };
        let Some(column) = Column::from_name(&name) else {
            let mut problem = format!("there is no `{name}`: expected one of {}", usable_names());
            if self.features.is_empty() {
                problem += &format!("; or a layout: {LAYOUTS}");
            }
            return Err(self.error(at, problem));
        };
        let is_object = column.spec().collection != Collection::Crossing;
        if is_object != has_index {
            let problem = if is_object {
                format!("an event can have several: expected an index, as in `{object}[0].{field}`")
            } else {
                format!("an event has one `{name}`: expected no index")
            };
            return Err(self.error(at, problem));
        }
        let transform = match (divisor, column) {
            (1, _) => Transform::Identity,
            (2, _) => Transform::Halve,
            (_, Column::MuonPhi | Column::MuonPhiRaw) => Transform::QuarterTurn,
            _ => Transform::Quarter,
        };
        Feature::new(column, index, transform).map_err(|problem| self.error(at, problem))
    }

    fn push(&mut self, begin: usize, feature: Feature) -> Result<()> {
        if feature != Feature::Zero && self.features.contains(&feature) {
            let name = feature.name(0);
            return Err(self.error(begin, format!("`{name}` occurs twice: expected it once")));
        }
        if self.features.len() == MAX_FEATURES {
            let problem = format!("expected at most {MAX_FEATURES} features, found more");
            return Err(self.error(begin, problem));
        }
        self.features.push(feature);
        Ok(())
    }

    /// `[3]` or `[0..4]`.
    fn indices(&mut self, begin: usize, object: &str) -> Result<std::ops::Range<u8>> {
        let all = Collection::ALL_OBJECTS;
        let Some(collection) = all.into_iter().find(|c| c.name() == object) else {
            let names = all.map(Collection::name).join(", ");
            let problem = format!("expected objects before `[` ({names}), found `{object}`");
            return Err(self.error(begin, problem));
        };
        self.expect('[')?;
        let at = self.next_token();
        let first = self.number()?;
        self.skip_blanks();
        let end = if self.text[self.at..].starts_with("..") {
            self.at += 2;
            self.number()?
        } else {
            first.saturating_add(1)
        };
        self.expect(']')?;
        let capacity = collection.capacity();
        if first >= end || usize::from(end) > capacity {
            let problem = format!(
                "expected a range within 0..{capacity} that is not empty, found {first}..{end}"
            );
            return Err(self.error(at, problem));
        }
        Ok(first..end)
    }

    /// `.pt`, `.(pt,eta/2)`, or nothing: where each begins, its name, by what it is divided.
    fn fields(&mut self) -> Result<Vec<(usize, &'a str, u8)>> {
        let begin = self.next_token();
        if self.peek() != Some('.') {
            let divisor = self.divisor()?;
            return Ok(vec![(begin, "", divisor)]);
        }
        self.expect('.')?;
        if self.peek() != Some('(') {
            return Ok(vec![self.field()?]);
        }
        self.expect('(')?;
        let mut fields = vec![self.field()?];
        while self.peek() == Some(',') {
            self.expect(',')?;
            fields.push(self.field()?);
        }
        self.expect(')')?;
        Ok(fields)
    }

    fn field(&mut self) -> Result<(usize, &'a str, u8)> {
        let begin = self.next_token();
        let name = self.word();
        if name.is_empty() {
            let problem = format!("expected a field such as `pt`, found {}", self.found());
            return Err(self.error(begin, problem));
        }
        Ok((begin, name, self.divisor()?))
    }

    fn divisor(&mut self) -> Result<u8> {
        if self.peek() != Some('/') {
            return Ok(1);
        }
        self.expect('/')?;
        let at = self.next_token();
        match self.number()? {
            divisor @ (2 | 4) => Ok(divisor),
            other => Err(self.error(at, format!("expected a division by 2 or 4, found {other}"))),
        }
    }

    fn number(&mut self) -> Result<u8> {
        let begin = self.next_token();
        let digits = self.take_while(|c| c.is_ascii_digit());
        let found = if digits.is_empty() { self.found() } else { format!("`{digits}`") };
        digits.parse().map_err(|_| {
            self.error(begin, format!("expected a number from 0 to 255, found {found}"))
        })
    }

    fn word(&mut self) -> &'a str {
        self.take_while(|c| c.is_ascii_alphanumeric() || c == '_')
    }

    fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = &self.text[self.at..];
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        if self.peek() != Some(wanted) {
            let problem = format!("expected `{wanted}`, found {}", self.found());
            return Err(self.error(self.at, problem));
        }
        self.at += wanted.len_utf8();
        Ok(())
    }

    /// The next character that is not blank.
    fn peek(&mut self) -> Option<char> {
        self.skip_blanks();
        self.text[self.at..].chars().next()
    }

    fn skip_blanks(&mut self) {
        self.take_while(char::is_whitespace);
    }

    fn next_token(&mut self) -> usize {
        self.skip_blanks();
        self.at
    }

    fn found(&self) -> String {
        self.text[self.at..].chars().next().map_or("the end".to_owned(), |c| format!("`{c}`"))
    }

    fn error(&self, at: usize, problem: impl Into<String>) -> Error {
        let position = self.text[..at].chars().count() + 1;
        Error::Spec { text: self.text.to_owned(), position, problem: problem.into() }
    }
}

#[cfg(test)]
mod tests {
    use crate::features::FeatureSpec;

    use super::*;

    fn names(text: &str) -> String {
        FeatureSpec::parse(text).unwrap().names().join(" ")
    }

    fn refusal(text: &str) -> (usize, String) {
        match FeatureSpec::parse(text) {
            Err(Error::Spec { position, problem, .. }) => (position, problem),
            other => panic!("`{text}` gave {other:?}"),
        }
    }

    #[test]
    fn layouts_have_the_published_order_and_width() {
        let l1 = FeatureSpec::parse("l1-57").unwrap();
        assert_eq!(l1.len(), 57);
        let names = l1.names();
        assert_eq!(names[..4], ["met_pt", "zero1", "met_phi", "egamma0_pt"]);
        assert_eq!([&names[15], &names[27], &names[56]], ["muon0_pt", "jet0_pt", "jet9_phi"]);
        let halved = FeatureSpec::parse("axol1tl").unwrap().names();
        assert_eq!(
            [&halved[0], &halved[27], &halved[56]],
            ["met_pt_half", "jet0_pt_half", "jet9_phi"]
        );
        let wide = FeatureSpec::parse("thesis-99").unwrap();
        assert_eq!(wide.len(), 99);
        assert_eq!([&wide.names()[39], &wide.names()[63]], ["muon0_pt", "jet0_pt"]);
        assert_eq!(wide, FeatureSpec::parse("thesis-99:muon-units=hw").unwrap());
        let calo = FeatureSpec::parse(" thesis-99:muon-units=calo ").unwrap().names();
        assert_eq!(calo[39..42], ["muon0_pt", "muon0_eta_quarter", "muon0_phi_quarter"]);
        assert_eq!(calo[64], "jet0_eta");
    }

    #[test]
    fn features_can_be_spelled_out() {
        assert_eq!(names("met.pt,met.phi"), "met_pt met_phi");
        assert_eq!(names("jet[1..3].(pt, eta/2)"), "jet1_pt jet1_eta_half jet2_pt jet2_eta_half");
        assert_eq!(names("muon[0].qual, jet.n, ht.pt/2"), "muon0_qual jet_n ht_pt_half");
        assert_eq!(
            names("zero, tower_count/4, bx, met_hf.pt"),
            "zero0 tower_count_quarter bx met_hf_pt"
        );
        assert_eq!(names("muon[15].phi_raw / 4"), "muon15_phi_raw_quarter");
        assert_eq!(
            names("puppi[254].(pt,z0/4), track_muon[0].pt/2, stub[200].wheel, puppi.n"),
            "puppi254_pt puppi254_z0_quarter track_muon0_pt_half stub200_wheel puppi_n"
        );
    }

    #[test]
    fn every_column_that_can_be_a_feature_is_reachable() {
        for spec in COLUMNS.iter().filter(|spec| is_usable(spec.column)) {
            let text = match spec.collection {
                Collection::Crossing => spec.name.to_owned(),
                c => spec.name.replacen(&format!("{}_", c.name()), &format!("{}[0].", c.name()), 1),
            };
            assert_eq!(FeatureSpec::parse(&text).unwrap().columns().names(), spec.name);
        }
    }

    #[test]
    fn errors_say_where_and_what_exists() {
        let (position, problem) = refusal("met.pt, jet[0].mass");
        assert_eq!(position, 16);
        assert!(problem.contains("jet_mass") && problem.contains("jet_pt, jet_eta"), "{problem}");
        let (position, problem) = refusal("l1-58");
        assert_eq!(position, 3);
        assert!(problem.contains("`l1`") && problem.contains("l1-57"), "{problem}");
        assert!(refusal("").1.contains("the end"));
        assert!(refusal("met.pt,").1.contains("the end"));
        assert!(refusal("jet.pt").1.contains("jet[0].pt"));
        assert!(refusal("jet[0].n").1.contains("no index"));
        assert!(refusal("met[0].pt").1.contains("muon, egamma, jet, tau"));
        assert!(refusal("jet[0..13].pt").1.contains("0..12"));
        assert!(refusal("track_muon[0].pt").1.contains("`track_muon[0..170].(pt/2)`"));
        assert!(refusal("track_muon[170].eta").1.contains("0..170"));
        assert!(refusal("jet[3..3].pt").1.contains("not empty"));
        assert!(refusal("jet[999].pt").1.contains("999"));
        assert!(refusal("met.pt/3").1.contains("found 3"));
        assert!(refusal("met.pt met.phi").1.contains("expected `,`"));
        assert!(refusal("jet[0].(pt").1.contains("expected `)`"));
        assert!(refusal("met.pt, met.pt").1.contains("twice"));
        assert_eq!(refusal("mét.pt").0, 2, "positions count characters");
    }

    #[test]
    fn what_is_not_of_the_event_is_no_feature() {
        for name in ["label", "truth_process", "weight", "score", "orbit", "pile_up"] {
            assert!(refusal(name).1.contains("no feature"), "{name}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z0-9\\[\\](),./ é]{0,40}|\\PC{0,20}") {
            let _ = FeatureSpec::parse(&text);
        }

        #[test]
        fn what_is_nearly_a_specification_does_not_either(
            at in 0usize..45, replacement in "\\PC{0,3}",
        ) {
            let mut text = "jet[0..4].(pt/2, eta), muon[15].phi/4, ht.pt".to_owned();
            text.replace_range(at..(at + 1).min(text.len()), &replacement);
            let _ = FeatureSpec::parse(&text);
        }
    }
}
