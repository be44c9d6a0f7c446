//! The sidecar of a workflow file: `NAME.toml` beside `NAME.json`, in which a person says what the workflow is for and
//! what of it can be set. All of it is optional.

#[cfg(test)]
mod tests;

use std::ops::Range;

use serde_json::{Number, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use workflow_analyzer::nearest;

/// The largest sidecar that is read, in bytes.
pub(super) const MAX_SIDECAR: u64 = 64 << 10;
/// More parameters than this nobody tells apart.
const MAX_PARAMETERS: usize = 64;
/// Choices of one parameter.
const MAX_CHOICES: usize = 200;
/// Of a name or a title, in characters.
const MAX_NAME: usize = 64;
/// Of a description, in characters: it goes into every agent's context.
const MAX_DESCRIPTION: usize = 600;
/// What a tool made of a workflow takes beside its parameters.
pub(crate) const RESERVED: [&str; 4] = ["priority", "wait_seconds", "idempotency_key", "strip_metadata"];

const KEYS: [&str; 7] = ["title", "description", "task", "tool", "seed", "saved_by", "parameters"];
const PARAMETER_KEYS: [&str; 8] =
    ["target", "title", "description", "required", "min", "max", "choices", "default"];

/// What a sidecar says; empty where there is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Descriptor {
    /// For people.
    pub title: Option<String>,
    /// What the workflow does, for the model.
    pub description: Option<String>,
    /// What it makes of what, such as `text to video`.
    pub task: Option<String>,
    /// Whether it is a tool of its own.
    pub tool: bool,
    /// What becomes of a seed that a call doesn't give.
    pub seed: Option<Seed>,
    /// The client that saved the file, where keys tell clients apart: what it loads is not the operator's choice then.
    pub saved_by: Option<String>,
    /// What can be set by name, in this order. None: what is found in the graph.
    pub parameters: Vec<Exposed>,
}

/// What becomes of a seed that a call doesn't give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// It is drawn for each call.
    Random,
    /// The one of the file is used.
    Fixed,
}

/// A parameter as the sidecar describes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Exposed {
    /// By which calls set it.
    pub name: String,
    /// `node.input`, the title of a node with or without `.input`, or the name of a parameter that is found in the graph;
    /// the latter of the same name where it isn't given.
    pub target: Option<String>,
    /// For people.
    pub title: Option<String>,
    /// For the model.
    pub description: Option<String>,
    /// Whether every call has to give it.
    pub required: bool,
    /// The least value.
    pub min: Option<Number>,
    /// The greatest value.
    pub max: Option<Number>,
    /// What it can be.
    pub choices: Option<Vec<Value>>,
    /// What it is when a call doesn't give it, in place of the file's own value.
    pub default: Option<Value>,
    /// Where it stands in the sidecar, from 1.
    pub line: usize,
}

/// What is wrong with a sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From 1.
    pub line: usize,
    /// What is wrong and what to write.
    pub problem: String,
}

impl Descriptor {
    /// Reads the text of a sidecar.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let reader = Reader { text };
        let document = DeTable::parse(text).map_err(|error| {
            reader.fault(error.span().unwrap_or_default(), error.message().trim().replace('\n', "; "))
        })?;
        reader.descriptor(document.get_ref())
    }

    /// Whether it makes the workflow something to be called again and again, and doesn't only say who saved it.
    pub fn is_callable(&self) -> bool {
        let saved = Self { saved_by: self.saved_by.clone(), ..Self::default() };
        *self != saved
    }
}

type Member<'a, 'i> = (&'a str, Range<usize>, &'a Spanned<DeValue<'i>>);

/// Reads with the place of each value at hand.
struct Reader<'t> {
    text: &'t str,
}

impl Reader<'_> {
    fn fault(&self, at: Range<usize>, problem: impl Into<String>) -> Fault {
        Fault { line: self.line(at.start), problem: problem.into() }
    }

    fn line(&self, at: usize) -> usize {
        self.text.get(..at).unwrap_or(self.text).matches('\n').count() + 1
    }

    fn descriptor(&self, table: &DeTable<'_>) -> Result<Descriptor, Fault> {
        let mut read = Descriptor::default();
        for (key, at, value) in members(table) {
            match key {
                "title" => read.title = Some(self.text(key, value, MAX_NAME * 2)?),
                "description" => read.description = Some(self.text(key, value, MAX_DESCRIPTION)?),
                "task" => read.task = Some(self.text(key, value, MAX_NAME)?),
                "saved_by" => read.saved_by = Some(self.text(key, value, MAX_NAME * 4)?),
                "tool" => read.tool = self.flag(key, value)?,
                "seed" => read.seed = Some(self.seed(value)?),
                "parameters" => read.parameters = self.parameters(value)?,
                other => return Err(self.unknown(other, at, &KEYS)),
            }
        }
        Ok(read)
    }

    fn seed(&self, value: &Spanned<DeValue<'_>>) -> Result<Seed, Fault> {
        match value.get_ref().as_str() {
            Some("random") => Ok(Seed::Random),
            Some("fixed") => Ok(Seed::Fixed),
            _ => Err(self.fault(value.span(), "`seed` is \"random\" or \"fixed\"")),
        }
    }

    fn parameters(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Exposed>, Fault> {
        let table = value.get_ref().as_table().ok_or_else(|| {
            self.fault(value.span(), "`parameters` is a table: write [parameters.NAME] for each")
        })?;
        if table.len() > MAX_PARAMETERS {
            let problem =
                format!("{} parameters are too many; at most {MAX_PARAMETERS} are taken", table.len());
            return Err(self.fault(value.span(), problem));
        }
        members(table).into_iter().map(|(name, at, value)| self.parameter(name, at, value)).collect()
    }

    fn parameter(
        &self,
        name: &str,
        at: Range<usize>,
        value: &Spanned<DeValue<'_>>,
    ) -> Result<Exposed, Fault> {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
        if name.is_empty() || name.len() > MAX_NAME || !plain {
            let problem =
                format!("`{name}` can't name a parameter: 1 to {MAX_NAME} letters, digits, `_` and `-` can");
            return Err(self.fault(at, problem));
        }
        if RESERVED.contains(&name) {
            let problem = format!("`{name}` is an argument of every tool; give the parameter another name");
            return Err(self.fault(at, problem));
        }
        let table = value.get_ref().as_table().ok_or_else(|| {
            self.fault(at.clone(), format!("a parameter is a table: write [parameters.{name}]"))
        })?;
        let mut read = Exposed {
            name: name.to_owned(),
            target: None,
            title: None,
            description: None,
            required: false,
            min: None,
            max: None,
            choices: None,
            default: None,
            line: self.line(at.start),
        };
        for (key, at, value) in members(table) {
            match key {
                "target" => read.target = Some(self.text(key, value, MAX_DESCRIPTION)?),
                "title" => read.title = Some(self.text(key, value, MAX_NAME * 2)?),
                "description" => read.description = Some(self.text(key, value, MAX_DESCRIPTION)?),
                "required" => read.required = self.flag(key, value)?,
                "min" => read.min = Some(self.number(key, value)?),
                "max" => read.max = Some(self.number(key, value)?),
                "choices" => read.choices = Some(self.choices(value)?),
                "default" => read.default = Some(self.plain(key, value)?),
                other => return Err(self.unknown(other, at, &PARAMETER_KEYS)),
            }
        }
        Ok(read)
    }

    fn text(&self, key: &str, value: &Spanned<DeValue<'_>>, limit: usize) -> Result<String, Fault> {
        let text =
            value.get_ref().as_str().ok_or_else(|| self.fault(value.span(), format!("`{key}` is a text")))?;
        let length = text.chars().count();
        if length > limit {
            let problem = format!("`{key}` has {length} characters; at most {limit} are taken");
            return Err(self.fault(value.span(), problem));
        }
        Ok(text.trim().to_owned())
    }

    fn flag(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<bool, Fault> {
        let flag = value.get_ref().as_bool();
        flag.ok_or_else(|| self.fault(value.span(), format!("`{key}` is true or false")))
    }

    fn number(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Number, Fault> {
        let number = self.plain(key, value)?.as_number().cloned();
        number.ok_or_else(|| self.fault(value.span(), format!("`{key}` is a number")))
    }

    fn choices(&self, value: &Spanned<DeValue<'_>>) -> Result<Vec<Value>, Fault> {
        let list = value.get_ref().as_array().filter(|list| !list.is_empty() && list.len() <= MAX_CHOICES);
        let list = list.ok_or_else(|| {
            self.fault(value.span(), format!("`choices` is a list of 1 to {MAX_CHOICES} texts or numbers"))
        })?;
        list.iter().map(|choice| self.plain("choices", choice)).collect()
    }

    /// A text, a number or a flag as JSON. Integers of TOML have 64 bits; a larger seed is written as a text.
    fn plain(&self, key: &str, value: &Spanned<DeValue<'_>>) -> Result<Value, Fault> {
        let read = match value.get_ref() {
            DeValue::String(text) => Some(Value::from(text.as_ref())),
            DeValue::Boolean(flag) => Some(Value::from(*flag)),
            DeValue::Integer(number) => {
                i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::from)
            }
            DeValue::Float(number) => {
                number.as_str().parse().ok().and_then(Number::from_f64).map(Value::from)
            }
            _ => None,
        };
        read.ok_or_else(|| self.fault(value.span(), format!("`{key}` takes a text, a number, true or false")))
    }

    fn unknown(&self, key: &str, at: Range<usize>, known: &[&str]) -> Fault {
        let problem = match nearest(key, known.iter().copied(), 1).first() {
            Some(near) => format!("there is no key `{key}`; did you mean `{near}`?"),
            None => format!("there is no key `{key}`; there are {}", known.join(", ")),
        };
        self.fault(at, problem)
    }
}

/// The members of a table in the order of the text.
fn members<'a, 'i>(table: &'a DeTable<'i>) -> Vec<Member<'a, 'i>> {
    let mut members: Vec<_> =
        table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value)).collect();
    members.sort_by_key(|(_, at, _)| at.start);
    members
}
