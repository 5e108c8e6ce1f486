//! Ids of operations: the names that generated clients give their functions.

use std::collections::{HashMap, HashSet};

use http::Method;

use super::schema::capitalized;
use crate::api::http::Binding;

/// A binding among others.
pub(super) fn key(binding: &Binding) -> (Method, String) {
    (binding.method.clone(), binding.path.clone())
}

/// The id of each binding's operation. The first binding of a method has the method's name, with as few words of
/// the package before it as are needed. A further one has its difference behind it: its HTTP method, or else the
/// last variable of its path.
pub(super) fn operation_ids<'a>(
    bindings: impl Iterator<Item = &'a Binding>,
) -> HashMap<(Method, String), String> {
    let mut taken = HashSet::new();
    let mut firsts: HashMap<String, (String, Method)> = HashMap::new();
    let mut ids = HashMap::new();
    for binding in bindings {
        let first = firsts.get(&binding.rpc_path);
        let mut names: Vec<String> = match first {
            None => with_packages(binding),
            Some((name, method)) => vec![format!("{name}By{}", difference(binding, method))],
        };
        let last = names[names.len() - 1].clone();
        names.extend((2..=ids.len() + 2).map(|number| format!("{last}{number}")));
        let free = names.into_iter().find(|name| !taken.contains(name));
        let id = free.unwrap_or_else(|| unreachable!("there are more numbers than names"));
        taken.insert(id.clone());
        let first = || (id.clone(), binding.method.clone());
        firsts.entry(binding.rpc_path.clone()).or_insert_with(first);
        ids.insert(key(binding), id);
    }
    ids
}

fn with_packages(binding: &Binding) -> Vec<String> {
    let service = binding.rpc.parent_service();
    let words: Vec<String> = service.package_name().split('.').map(capitalized).collect();
    (0..=words.len()).map(|count| words[..count].concat() + binding.rpc.name()).collect()
}

fn difference(binding: &Binding, method: &Method) -> String {
    match binding.template.variables.last() {
        Some(variable) if binding.method == *method => {
            variable.field.split(['_', '.']).map(capitalized).collect()
        }
        _ => capitalized(&binding.method.as_str().to_lowercase()),
    }
}
