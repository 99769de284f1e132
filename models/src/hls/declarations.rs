//! What headers declare: types, constants, arrays of weights, configurations of layers.
//!
//! Every statement of a file must be one of those, so that nothing that could change a result is
//! overlooked. Types that are too wide or unknown are kept with the reason and refused where they are
//! used: tables of functions that no layer calls may have any type.

use std::collections::HashMap;

use super::source::{Place, Source, refused};
use super::tokens::{Kind, Token, tokens};
use crate::error::{Error, Result};
use crate::fixed::{Exact, Fixed, Format, Overflow, Quantisation};

/// Places in the tokens of a file.
pub(super) struct Cursor<'a> {
    source: &'a Source,
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// At the beginning of a file, and what the file defines.
    pub fn new(source: &'a Source) -> Result<(Cursor<'a>, Vec<(&'a str, &'a str)>)> {
        let found = tokens(source)?;
        Ok((Cursor { source, tokens: found.tokens, at: 0 }, found.defines))
    }

    /// The tokens that are left.
    pub fn rest(&self) -> &[Token<'a>] {
        &self.tokens[self.at..]
    }

    /// Where the next token is; at the end, where the last one was.
    pub fn place(&self) -> Place<'a> {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        Place { source: self.source, line: token.map_or(1, |token| token.line) }
    }

    pub fn peek(&self) -> Option<&'a str> {
        self.tokens.get(self.at).map(|token| token.text())
    }

    pub fn next(&mut self) -> Result<Token<'a>> {
        let token = self.tokens.get(self.at).copied();
        let cut = || self.place().refused("more", "the end of the file, which looks cut");
        let token = token.ok_or_else(cut)?;
        self.at += 1;
        Ok(token)
    }

    /// Whether the next token is this one, which is then passed.
    pub fn passes(&mut self, text: &str) -> bool {
        let is_next = self.peek() == Some(text);
        self.at += usize::from(is_next);
        is_next
    }

    pub fn expect(&mut self, text: &str) -> Result<()> {
        let place = self.place();
        let found = self.next()?.text();
        if found != text {
            return Err(place.refused(format!("`{text}`"), format!("`{found}`")));
        }
        Ok(())
    }

    /// A name without `::`.
    pub fn name(&mut self) -> Result<&'a str> {
        let place = self.place();
        let token = self.next()?;
        match token.kind {
            Kind::Name(name) => Ok(name),
            _ => Err(place.refused("a name", format!("`{}`", token.text()))),
        }
    }

    /// Passes everything up to this mark, and it.
    pub fn until(&mut self, mark: &str) -> Result<Vec<Token<'a>>> {
        let begin = self.at;
        while self.next()?.text() != mark {}
        Ok(self.tokens[begin..self.at - 1].to_vec())
    }

    /// A name, qualified or not, and what follows it in `<…>`.
    pub fn type_name(&mut self) -> Result<TypeName<'a>> {
        let place = self.place();
        let mut path = vec![self.name()?];
        while self.passes("::") {
            path.push(self.name()?);
        }
        let mut arguments = Vec::new();
        if self.passes("<") {
            let mut depth = 0;
            loop {
                let token = self.next()?;
                match token.text() {
                    ">" if depth == 0 => break,
                    ">" => depth -= 1,
                    "<" => depth += 1,
                    ";" | "{" | "}" => {
                        return Err(place.refused("`>`", format!("`{}`", token.text())));
                    }
                    _ => {}
                }
                arguments.push(token);
            }
        }
        Ok(TypeName { path, arguments, place })
    }
}

/// A type as it is written.
pub(super) struct TypeName<'a> {
    pub path: Vec<&'a str>,
    pub arguments: Vec<Token<'a>>,
    pub place: Place<'a>,
}

impl TypeName<'_> {
    fn text(&self) -> String {
        let arguments: String = self.arguments.iter().map(|token| token.text()).collect();
        let path = self.path.join("::");
        if arguments.is_empty() { path } else { format!("{path}<{arguments}>") }
    }
}

/// A value that a configuration gives a name: tokens, for whoever needs it.
pub(super) struct Setting<'a> {
    pub tokens: Vec<Token<'a>>,
    pub place: Place<'a>,
}

/// `struct NAME : BASE { … };`
pub(super) struct Config<'a> {
    pub base: String,
    pub place: Place<'a>,
    /// Constants and what `using` names.
    pub settings: HashMap<&'a str, Setting<'a>>,
    types: HashMap<&'a str, TypeResult<'a>>,
}

/// The initialised elements of an array.
pub(super) struct Array<'a> {
    pub element: Format,
    pub values: Vec<Fixed>,
    pub place: Place<'a>,
}

/// A type that cannot be used, and where it was written.
#[derive(Clone)]
struct BadType<'a> {
    place: Place<'a>,
    expected: String,
    found: String,
}

impl BadType<'_> {
    fn refused(&self) -> Error {
        self.place.refused(&self.expected, &self.found)
    }
}

type TypeResult<'a> = std::result::Result<Format, BadType<'a>>;

/// All that the files declared.
#[derive(Default)]
pub(super) struct Declarations<'a> {
    /// Outermost namespaces, in the order in which they came.
    pub namespaces: Vec<&'a str>,
    types: HashMap<&'a str, TypeResult<'a>>,
    constants: HashMap<&'a str, i64>,
    pub arrays: HashMap<&'a str, Array<'a>>,
    pub configs: HashMap<&'a str, Config<'a>>,
}

impl<'a> Declarations<'a> {
    /// Adds what a header declares.
    pub fn read(&mut self, source: &'a Source) -> Result<()> {
        let (mut cursor, defines) = Cursor::new(source)?;
        for (name, value) in defines {
            if let Ok(value) = value.parse() {
                self.constants.insert(name, value);
            }
        }
        let mut depth = 0_usize;
        while let Some(text) = cursor.peek() {
            let place = cursor.place();
            match text {
                "namespace" => {
                    cursor.next()?;
                    let name = cursor.name()?;
                    if depth == 0 && !self.namespaces.contains(&name) {
                        self.namespaces.push(name);
                    }
                    cursor.expect("{")?;
                    depth += 1;
                }
                "}" if depth > 0 => {
                    cursor.next()?;
                    depth -= 1;
                }
                ";" => _ = cursor.next()?,
                "extern" | "using" => _ = cursor.until(";")?,
                "typedef" => {
                    let (name, format) = self.type_definition(&mut cursor)?;
                    if self.types.insert(name, format).is_some() {
                        return Err(place.refused("each type once", format!("`{name}` again")));
                    }
                }
                "struct" => self.config(&mut cursor)?,
                _ => self.variable(&mut cursor)?,
            }
        }
        if depth > 0 {
            return Err(cursor.place().refused("`}`", "the end of the file, which looks cut"));
        }
        Ok(())
    }

    /// `typedef TYPE NAME ;`
    fn type_definition(&self, cursor: &mut Cursor<'a>) -> Result<(&'a str, TypeResult<'a>)> {
        cursor.expect("typedef")?;
        let written = cursor.type_name()?;
        let name = cursor.name()?;
        cursor.expect(";")?;
        Ok((name, self.resolve(&written)))
    }

    /// `struct NAME : BASE { … };`
    fn config(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        let place = cursor.place();
        cursor.expect("struct")?;
        let name = cursor.name()?;
        cursor.expect(":")?;
        let base = cursor.type_name()?.text();
        cursor.expect("{")?;
        let (settings, types) = Default::default();
        let mut config = Config { base, place, settings, types };
        while !cursor.passes("}") {
            let place = cursor.place();
            match cursor.peek().unwrap_or_default() {
                "typedef" => {
                    let (name, format) = self.type_definition(cursor)?;
                    config.types.insert(name, format);
                    continue;
                }
                "template" => {
                    cursor.next()?;
                    cursor.expect("<")?;
                    cursor.until(">")?;
                    cursor.expect("using")?;
                }
                "using" => _ = cursor.next()?,
                "static" => {
                    cursor.next()?;
                    if !cursor.passes("const") {
                        cursor.expect("constexpr")?;
                    }
                    cursor.name()?;
                }
                other => {
                    let expected = "`static const`, `typedef`, `using` or `}`";
                    return Err(place.refused(expected, format!("`{other}`")));
                }
            }
            let name = cursor.name()?;
            cursor.expect("=")?;
            let tokens = cursor.until(";")?;
            config.settings.insert(name, Setting { tokens, place });
        }
        cursor.expect(";")?;
        if self.configs.insert(name, config).is_some() {
            return Err(place.refused("each layer once", format!("`{name}` again")));
        }
        Ok(())
    }

    /// A constant, or an array with or without its elements.
    fn variable(&mut self, cursor: &mut Cursor<'a>) -> Result<()> {
        while ["static", "const", "constexpr", "inline"].iter().any(|word| cursor.passes(word)) {}
        let written = cursor.type_name()?;
        let place = cursor.place();
        let name = cursor.name()?;
        if cursor.passes("=") {
            let value = cursor.until(";")?;
            let value = self.integer_of(&value, place)?;
            self.constants.insert(name, value);
            return Ok(());
        }
        cursor.expect("[")?;
        let size = cursor.until("]")?;
        let size = self.integer_of(&size, place)?;
        if cursor.passes(";") {
            return Ok(());
        }
        cursor.expect("=")?;
        let element = self.format_of(&written)?;
        let values = elements(cursor, element)?;
        cursor.expect(";")?;
        if values.len() as i64 != size {
            let expected = format!("{size} elements of `{name}`, as declared");
            return Err(place.refused(expected, values.len().to_string()));
        }
        if self.arrays.insert(name, Array { element, values, place }).is_some() {
            return Err(place.refused("each array once", format!("`{name}` again")));
        }
        Ok(())
    }

    /// A number, or a constant by name.
    pub fn integer_of(&self, tokens: &[Token<'a>], place: Place<'a>) -> Result<i64> {
        let value = match tokens {
            [Token { kind: Kind::Number(text), .. }] => {
                text.trim_end_matches(['u', 'U', 'l', 'L']).parse().ok()
            }
            [Token { kind: Kind::Name(name), .. }] => self.constants.get(name).copied(),
            _ => None,
        };
        value.ok_or_else(|| {
            let found: Vec<&str> = tokens.iter().map(|token| token.text()).collect();
            place.refused("an integer or the name of one", format!("`{}`", found.join(" ")))
        })
    }

    /// The format of a type.
    pub fn format_of(&self, written: &TypeName<'a>) -> Result<Format> {
        self.resolve(written).map_err(|bad| bad.refused())
    }

    /// The format of a type that a file must declare.
    pub fn named_format(&self, name: &str, file: &str) -> Result<Format> {
        match self.types.get(name) {
            Some(found) => found.clone().map_err(|bad| bad.refused()),
            None => Err(refused(file, format!("a `typedef` of `{name}`"), "none")),
        }
    }

    /// The format of a type that a configuration names.
    pub fn format_in(&self, config: &Config<'a>, name: &str) -> Result<Format> {
        match config.types.get(name) {
            Some(found) => found.clone().map_err(|bad| bad.refused()),
            None => Err(config.place.refused(format!("a `typedef` of `{name}`"), "none")),
        }
    }

    fn resolve(&self, written: &TypeName<'a>) -> TypeResult<'a> {
        let name = *written.path.last().expect("a path has a name");
        let bad = |expected: String, found| BadType { place: written.place, expected, found };
        if written.arguments.is_empty() {
            let known = self.types.get(name).cloned();
            let expected = "a type that was declared before".to_owned();
            return known.unwrap_or_else(|| Err(bad(expected, format!("`{name}`"))));
        }
        let found = format!("`{}`", written.text());
        match written.path[..] {
            ["ap_fixed" | "ap_ufixed" | "ap_int" | "ap_uint"] => {
                fixed_format(name, &written.arguments).map_err(|expected| bad(expected, found))
            }
            _ => Err(bad("`ap_fixed`, `ap_ufixed`, `ap_int` or `ap_uint`".into(), found)),
        }
    }
}

/// `{ number, … }` as numbers of the format.
fn elements<'a>(cursor: &mut Cursor<'a>, format: Format) -> Result<Vec<Fixed>> {
    cursor.expect("{")?;
    let mut values = Vec::new();
    while !cursor.passes("}") {
        let place = cursor.place();
        let is_negative = cursor.passes("-");
        let token = cursor.next()?;
        let number = match token.kind {
            Kind::Number(text) => {
                text.trim_end_matches(['f', 'F', 'u', 'U', 'l', 'L']).parse().ok()
            }
            _ => None,
        };
        let exact = number.and_then(|x: f64| Exact::float(if is_negative { -x } else { x }));
        let Some(exact) = exact else {
            return Err(place.refused("a number", format!("`{}`", token.text())));
        };
        values.push(format.cast(exact));
        if cursor.peek() != Some("}") {
            cursor.expect(",")?;
        }
    }
    Ok(values)
}

/// The format that `ap_fixed<…>` and its like name; else, what was expected.
fn fixed_format(name: &str, arguments: &[Token<'_>]) -> std::result::Result<Format, String> {
    let is_integer = name.ends_with("int");
    let mut parts = arguments.split(|token| token.text() == ",");
    let number = |part: Option<&[Token<'_>]>| -> Option<i32> {
        match part? {
            [token] => token.text().parse().ok(),
            [sign, token] if sign.text() == "-" => token.text().parse::<i32>().ok().map(|x| -x),
            _ => None,
        }
    };
    let whole = || "widths that are numbers".to_owned();
    let width = number(parts.next()).ok_or_else(whole)?;
    let integer_bits = if is_integer { width } else { number(parts.next()).ok_or_else(whole)? };
    let width = u32::try_from(width).map_err(|_| whole())?;
    let format = Format::new(!name.contains('u'), width, integer_bits)?;
    let mut mode =
        || parts.next().map(|part| part.iter().map(|token| token.text()).collect::<String>());
    let quantisation = match mode() {
        None => Quantisation::default(),
        Some(text) => {
            Quantisation::from_name(&text).ok_or("a rounding mode, `AP_TRN` to `AP_RND_CONV`")?
        }
    };
    let overflow = match mode() {
        None => Overflow::default(),
        Some(text) => Overflow::from_name(&text)
            .ok_or("`AP_WRAP`, `AP_SAT`, `AP_SAT_ZERO` or `AP_SAT_SYM`")?,
    };
    match (mode().as_deref(), mode()) {
        (None | Some("0"), None) => Ok(format.with_modes(quantisation, overflow)),
        _ => Err("no saturated bits (a fifth parameter of 0)".into()),
    }
}

/// The format of a type as C++ writes it: `ap_ufixed<10,6,AP_RND_CONV,AP_SAT>`.
///
/// # Errors
/// If it is another type, or one that [`Format::new`] refuses.
pub fn format_from_text(text: &str) -> Result<Format> {
    let source = Source { name: "type".into(), text: text.into() };
    let (mut cursor, _) = Cursor::new(&source)?;
    let written = cursor.type_name()?;
    if let Some(more) = cursor.peek() {
        return Err(cursor.place().refused("the end", format!("`{more}`")));
    }
    Declarations::default().format_of(&written)
}
