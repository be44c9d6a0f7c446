//! A graph on its way to a plan.

use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};
use workflow_analyzer::{
    Analysis, Graph, InputFiles, ObjectInfo, Options, Severity, analyze, edit, validate_with,
};

use super::choose::Chosen;
use super::{Files, Plan, Upload, choose, files, installed, loaders, loras, parameters, size};
use crate::catalog::{Origin, Workflow};
use crate::error::{ServerError, line};

/// The graph as far as it is, and what there is to say about it.
pub(super) struct Draft<'a> {
    pub(super) info: &'a ObjectInfo,
    pub(super) workflow: &'a Workflow,
    pub(super) files: Files,
    pub(super) graph: Graph,
    pub(super) uploads: Vec<Upload>,
    pub(super) warnings: Vec<String>,
    /// The texts that the caller gave for any input: what is not among them was chosen here.
    pub(super) named: HashSet<String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        info: &'a ObjectInfo,
        workflow: &'a Workflow,
        files: Files,
        given: &Map<String, Value>,
    ) -> Self {
        Self {
            info,
            workflow,
            files,
            graph: workflow.graph.clone(),
            uploads: Vec::new(),
            warnings: workflow.problems.clone(),
            named: given.values().filter_map(Value::as_str).map(str::to_owned).collect(),
        }
    }

    /// Whether the names of files in the graph are placeholders.
    pub(super) fn is_shipped(&self) -> bool {
        self.workflow.origin == Origin::Shipped
    }

    /// Puts the model that was asked for into the graph, and installed files in the place of placeholders.
    pub(super) fn fill_in(&mut self, model: Option<&str>, chosen: Chosen<'_>) -> Result<(), ServerError> {
        let set = match chosen {
            Chosen::Set(set) => Some(set),
            Chosen::File(file) => {
                self.set_model(file)?;
                None
            }
            Chosen::Nothing if self.is_shipped() => {
                installed::for_workflow(self.info, &self.workflow.name, model)?
            }
            Chosen::Nothing => None,
        };
        match (set, model) {
            (Some(set), _) => loaders::put(&mut self.graph, self.info, &set),
            (None, Some(model)) => self.set_model(model)?,
            (None, None) => {}
        }
        if self.is_shipped() {
            let analysis = analyze(&self.graph, self.info);
            choose::fill_models(&mut self.graph, &analysis, self.info)?;
        }
        Ok(())
    }

    fn set_model(&mut self, model: &str) -> Result<(), ServerError> {
        let analysis = analyze(&self.graph, self.info);
        let file = installed_model(&self.graph, self.info, &analysis, model)?;
        let values = Map::from_iter([("model".to_owned(), file.into())]);
        Ok(edit::set_parameters(&mut self.graph, &analysis, &values)?)
    }

    /// Checks the graph as it will run. `fields` stands before the name of a parameter in an error.
    pub(super) fn finish(mut self, tool: &str, fields: &str) -> Result<Plan, ServerError> {
        files::check_owner(&self)?;
        let analysis = analyze(&self.graph, self.info);
        files::check_given(&self, &analysis, fields)?;
        files::hide_names(&mut self.graph, self.info);
        let uploads: BTreeSet<String> = self.uploads.iter().map(|upload| upload.reference.clone()).collect();
        let options = Options { files: InputFiles::Known(&uploads), packs: Some(&self.workflow.packs) };
        let found = validate_with(&self.graph, self.info, &options);
        let (errors, warnings): (Vec<_>, Vec<_>) =
            found.into_iter().partition(|diagnostic| diagnostic.severity == Severity::Error);
        if !errors.is_empty() {
            return Err(ServerError::InvalidWorkflow(errors));
        }
        loras::tell_chosen(&mut self, &analysis);
        size::tell_rounding(&mut self, &analysis);
        parameters::tell_unheard(&mut self, &analysis);
        self.warnings.extend(warnings.iter().map(line));
        Ok(Plan {
            tool: tool.to_owned(),
            workflow: self.workflow.name.clone(),
            graph: self.graph.to_json(),
            uploads: self.uploads,
            seed: parameters::seed(&analysis),
            parameters: parameters::told(&analysis),
            weights: analysis.weights,
            warnings: self.warnings,
            fingerprint: None,
            strip_metadata: false,
        })
    }
}

/// The file of that name among those that the graph's own loader offers.
fn installed_model(
    graph: &Graph,
    info: &ObjectInfo,
    analysis: &Analysis,
    model: &str,
) -> Result<String, ServerError> {
    let options = model_options(graph, info, analysis).ok_or_else(|| ServerError::InvalidArgument {
        field: "model".into(),
        problem: "this workflow loads no model that could be chosen".into(),
    })?;
    choose::named(&options, model)
        .map(str::to_owned)
        .ok_or_else(|| choose::unknown("model", model, options.iter().copied()))
}

/// What the graph's own loader offers; `None` where it loads no model.
pub(super) fn model_options<'a>(
    graph: &Graph,
    info: &'a ObjectInfo,
    analysis: &Analysis,
) -> Option<Vec<&'a str>> {
    let binding = analysis.parameter("model")?.bindings.first()?;
    Some(info.options(&graph.nodes.get(&binding.node)?.class_type, &binding.input))
}
