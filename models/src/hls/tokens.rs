//! A C++ header as tokens: as much of the language as generated files of hls4ml use.
//!
//! Comments, `#pragma` and other directives that declare nothing are left out; `#include` is noted. Of
//! the preprocessor there are `#ifdef`, `#ifndef`, `#else`, `#endif` and `#define NAME NUMBER`; the only
//! name that is defined at the start is `__SYNTHESIS__`, so that the weights are those of the
//! firmware and not read at run time. Any other condition is refused rather than guessed.

use super::source::{Place, Source};
use crate::error::Result;

/// One word of the source.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Token<'a> {
    pub kind: Kind<'a>,
    pub line: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind<'a> {
    /// Also keywords.
    Name(&'a str),
    /// As written, without a sign.
    Number(&'a str),
    /// `::` or one character.
    Mark(&'a str),
    /// A text in quotation marks, with them.
    Text(&'a str),
}

impl<'a> Token<'a> {
    /// As written.
    pub fn text(self) -> &'a str {
        match self.kind {
            Kind::Name(text) | Kind::Number(text) | Kind::Mark(text) | Kind::Text(text) => text,
        }
    }
}

/// What a file says once comments and untaken branches are gone.
pub(super) struct Tokens<'a> {
    pub tokens: Vec<Token<'a>>,
    /// `#define NAME NUMBER`.
    pub defines: Vec<(&'a str, &'a str)>,
    /// `#include "NAME"`, and the line.
    pub includes: Vec<(&'a str, usize)>,
}

/// One `#if…`: whether its present branch is taken, and whether `#else` has come.
struct Condition {
    taken: bool,
    has_else: bool,
    line: usize,
}

struct Scanner<'a> {
    source: &'a Source,
    rest: &'a str,
    line: usize,
    at_line_start: bool,
    conditions: Vec<Condition>,
    found: Tokens<'a>,
}

/// Deepest nesting of conditions.
const MAX_CONDITIONS: usize = 64;

/// Takes a file apart.
pub(super) fn tokens(source: &Source) -> Result<Tokens<'_>> {
    let found = Tokens { tokens: Vec::new(), defines: Vec::new(), includes: Vec::new() };
    let (rest, conditions) = (source.text.as_str(), Vec::new());
    let mut scanner = Scanner { source, rest, line: 1, at_line_start: true, conditions, found };
    scanner.run()?;
    Ok(scanner.found)
}

impl<'a> Scanner<'a> {
    fn run(&mut self) -> Result<()> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\n' => {
                    self.advance(1);
                    self.line += 1;
                    self.at_line_start = true;
                }
                c if c.is_whitespace() => _ = self.advance(c.len_utf8()),
                '/' if self.rest.starts_with("//") => {
                    let end = self.rest.find('\n').unwrap_or(self.rest.len());
                    self.advance(end);
                }
                '/' if self.rest.starts_with("/*") => self.block_comment()?,
                '#' if self.at_line_start => self.directive()?,
                c => self.token(c)?,
            }
        }
        match self.conditions.last() {
            None => Ok(()),
            Some(open) => Err(self
                .place(open.line)
                .refused("`#endif`", "the end of the file, which looks cut")),
        }
    }

    fn place(&self, line: usize) -> Place<'a> {
        Place { source: self.source, line }
    }

    fn advance(&mut self, bytes: usize) -> &'a str {
        let (passed, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        passed
    }

    fn block_comment(&mut self) -> Result<()> {
        let Some(end) = self.rest.find("*/") else {
            return Err(self.place(self.line).refused("`*/`", "the end of the file"));
        };
        let comment = self.advance(end + 2);
        self.line += comment.matches('\n').count();
        Ok(())
    }

    /// A line that begins with `#`, and those that continue it.
    fn directive(&mut self) -> Result<()> {
        let place = self.place(self.line);
        let mut text = "";
        loop {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            let part = self.advance(end);
            if text.is_empty() {
                text = part;
            }
            if !part.trim_end().ends_with('\\') || self.rest.is_empty() {
                break;
            }
            self.advance(1);
            self.line += 1;
        }
        let text = text.split("//").next().unwrap_or_default();
        let mut words = text.trim_start_matches('#').split_whitespace();
        let word = words.next().unwrap_or_default();
        match word {
            "ifdef" | "ifndef" => {
                let name = words.next().unwrap_or_default();
                if self.conditions.len() == MAX_CONDITIONS {
                    return Err(place.refused("at most 64 nested conditions", "more"));
                }
                let defined = name == "__SYNTHESIS__";
                let taken = defined == (word == "ifdef");
                self.conditions.push(Condition { taken, has_else: false, line: place.line });
            }
            "else" => match self.conditions.last_mut() {
                Some(open) if !open.has_else => {
                    open.taken = !open.taken;
                    open.has_else = true;
                }
                _ => return Err(place.refused("`#ifdef` before", "`#else`")),
            },
            "endif" if self.conditions.pop().is_some() => {}
            "endif" => return Err(place.refused("`#ifdef` before", "`#endif`")),
            "if" | "elif" if self.is_taken() => {
                let what = format!("`{}`", text.trim());
                return Err(place.refused("`#ifdef`, `#ifndef` or no condition", what));
            }
            // Inside what is left out, only its end matters.
            "if" => {
                self.conditions.push(Condition { taken: false, has_else: true, line: place.line });
            }
            "define" if self.is_taken() => match (words.next(), words.next(), words.next()) {
                (_, None, _) => {}
                (Some(name), Some(value), None) if value.parse::<i64>().is_ok() => {
                    self.found.defines.push((name, value));
                }
                // A macro could change the meaning of anything.
                _ => {
                    let what = format!("`{}`", text.trim());
                    return Err(place.refused("`#define` of an integer", what));
                }
            },
            "include" if self.is_taken() => {
                if let Some(name) = words.next().and_then(|word| word.strip_prefix('"')) {
                    self.found.includes.push((name.trim_end_matches('"'), place.line));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn is_taken(&self) -> bool {
        self.conditions.iter().all(|open| open.taken)
    }

    fn token(&mut self, first: char) -> Result<()> {
        self.at_line_start = false;
        let line = self.line;
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let starts_fraction =
            first == '.' && self.rest[1..].starts_with(|c: char| c.is_ascii_digit());
        let kind = if first.is_ascii_digit() || starts_fraction {
            let end = self.number_end();
            Kind::Number(self.advance(end))
        } else if is_word(first) {
            let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
            Kind::Name(self.advance(end))
        } else if first == '"' || first == '\'' {
            let inner = &self.rest[1..];
            match inner.find([first, '\n']) {
                Some(end) if inner[end..].starts_with(first) => Kind::Text(self.advance(end + 2)),
                _ => {
                    return Err(self
                        .place(line)
                        .refused("the end of the text", "that of the line"));
                }
            }
        } else if self.rest.starts_with("::") {
            Kind::Mark(self.advance(2))
        } else {
            Kind::Mark(self.advance(first.len_utf8()))
        };
        if self.is_taken() {
            self.found.tokens.push(Token { kind, line });
        }
        Ok(())
    }

    /// Digits, letters, points, and a sign after `e`: the numbers of C, suffix included.
    fn number_end(&self) -> usize {
        let bytes = self.rest.as_bytes();
        let is_hexadecimal = self.rest.starts_with("0x") || self.rest.starts_with("0X");
        let mut end = 1;
        while let Some(&byte) = bytes.get(end) {
            let in_exponent = !is_hexadecimal && matches!(bytes[end - 1], b'e' | b'E');
            let is_sign = in_exponent && matches!(byte, b'+' | b'-');
            if !(byte.is_ascii_alphanumeric() || byte == b'.' || is_sign) {
                break;
            }
            end += 1;
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Result<String> {
        let source = Source { name: "test.h".into(), text: text.into() };
        let found = tokens(&source)?;
        Ok(found.tokens.iter().map(|token| token.text()).collect::<Vec<_>>().join(" "))
    }

    fn refusal(text: &str) -> String {
        words(text).unwrap_err().to_string()
    }

    #[test]
    fn a_line_is_taken_apart_as_the_compiler_does() {
        let text = "a::b<c, -1.5e-3f> x[0x1F] = {.5, 1.}; // not this\n/* nor\n this */ \"a;b\"";
        let expected = "a :: b < c , - 1.5e-3f > x [ 0x1F ] = { .5 , 1. } ; \"a;b\"";
        assert_eq!(words(text).unwrap(), expected);
    }

    #[test]
    fn only_the_firmwares_branches_are_taken() {
        let text = "#ifndef GUARD_H_\n#define GUARD_H_\n#ifndef __SYNTHESIS__\na\n#else\nb\n#endif\n\
                    #ifdef LOAD_WEIGHTS_FROM_TXT\nc\n#if 1\nd\n#endif\n#else\ne\n#endif\n#endif\nf";
        assert_eq!(words(text).unwrap(), "b e f");
        assert_eq!(words("a\n#pragma x \\\n y\nb").unwrap(), "a b");
    }

    #[test]
    fn definitions_and_includes_are_noted_with_their_lines() {
        let text =
            "#define N 57\n#define NAME\n\n#include \"weights/w2.h\" // first\n#include <cmath>\n";
        let source = Source { name: "test.h".into(), text: text.into() };
        let found = tokens(&source).unwrap();
        assert_eq!((found.defines, found.includes), (vec![("N", "57")], vec![("weights/w2.h", 4)]));
    }

    #[test]
    fn conditions_that_do_not_match_are_refused_where_they_are() {
        assert!(refusal("a\n#endif\n").contains("test.h, line 2"));
        assert!(refusal("#else\n").contains("`#else`"));
        assert!(refusal("\n#ifdef A\n#else\n#else\n").contains("line 4"));
        assert!(refusal("a\n#ifndef A\nb").contains("line 2: expected `#endif`"));
        assert!(refusal("#if A > 1\n#endif").contains("`#if A > 1`"));
        assert!(refusal("#define relu linear").contains("of an integer"));
        assert!(refusal("a /* b").contains("`*/`"));
        assert!(refusal("\"a\n\"").contains("the end of the text"));
        let deep = "#ifndef A\n".repeat(65);
        assert!(refusal(&deep).contains("at most 64"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9#/*\"'.:\\\\\\n e+-]{0,60}|\\PC{0,30}") {
            let _ = words(&text);
        }
    }
}
