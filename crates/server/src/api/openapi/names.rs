//! Ids and titles of operations: generated clients name their functions by the ids.

use std::collections::{HashMap, HashSet};

use http::Method;

use super::schema::capitalized;
use crate::api::http::Binding;

/// A binding among others.
pub(super) fn key(binding: &Binding) -> (Method, String) {
    (binding.method.clone(), binding.path.clone())
}

/// The name of an operation.
#[derive(Clone)]
pub(super) struct Name {
    pub(super) id: String,
    /// The difference from the first binding of the method, for people.
    pub(super) note: Option<String>,
}

/// The name of each binding's operation. The first binding of a method has the method's name, behind as few words of
/// the package as are needed. A further binding has its difference at the end: its HTTP method, or else the last
/// variable of its path.
pub(super) fn operations<'a>(
    bindings: impl Iterator<Item = &'a Binding>,
) -> HashMap<(Method, String), Name> {
    let mut taken = HashSet::new();
    let mut firsts: HashMap<String, (String, Method)> = HashMap::new();
    let mut operations = HashMap::new();
    for binding in bindings {
        let first = firsts.get(&binding.rpc_path);
        let has_other_method = first.is_some_and(|(_, method)| binding.method != *method);
        let difference = first.map(|(_, method)| difference(binding, method));
        let mut names: Vec<String> = match (first, &difference) {
            (Some((name, _)), Some(words)) => {
                let words: String = words.iter().map(|word| capitalized(word)).collect();
                vec![format!("{name}By{words}")]
            }
            _ => with_packages(binding),
        };
        let last = names[names.len() - 1].clone();
        names.extend((2..=operations.len() + 2).map(|number| format!("{last}{number}")));
        let free = names.into_iter().find(|name| !taken.contains(name));
        let id = free.unwrap_or_else(|| unreachable!("there are more numbers than names"));
        taken.insert(id.clone());
        let first = || (id.clone(), binding.method.clone());
        firsts.entry(binding.rpc_path.clone()).or_insert_with(first);
        let note = difference.map(|words| match has_other_method {
            true => format!("with {}", binding.method),
            false => format!("by {}", words.join(" ")),
        });
        operations.insert(key(binding), Name { id, note });
    }
    operations
}

fn with_packages(binding: &Binding) -> Vec<String> {
    let service = binding.rpc.parent_service();
    let words: Vec<String> = service.package_name().split('.').map(capitalized).collect();
    (0..=words.len()).map(|count| words[..count].concat() + binding.rpc.name()).collect()
}

/// The words that distinguish a binding from the first one, which has this HTTP method.
fn difference(binding: &Binding, method: &Method) -> Vec<String> {
    match binding.template.variables.last() {
        Some(variable) if binding.method == *method => {
            variable.field.split(['_', '.']).map(str::to_owned).collect()
        }
        _ => vec![binding.method.as_str().to_lowercase()],
    }
}
