//! The place of a value within JSON.

/// The place of a value: a chain on the stack, which becomes text only for errors.
#[derive(Clone, Copy)]
pub(super) struct Place<'p> {
    pub(super) above: Option<&'p Place<'p>>,
    step: Step<'p>,
}

#[derive(Clone, Copy)]
pub(super) enum Step<'p> {
    Root,
    Field(&'p str),
    Key(&'p str),
    Index(usize),
}

pub(super) const ROOT: Place<'static> = Place { above: None, step: Step::Root };

impl<'p> Place<'p> {
    pub(super) fn within(above: &'p Place<'p>, step: Step<'p>) -> Self {
        Self { above: Some(above), step }
    }

    pub(super) fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }

    /// Whether only fields lead here, no lists and maps.
    pub(super) fn is_of_fields(&self) -> bool {
        let is_field = matches!(self.step, Step::Root | Step::Field(_));
        is_field && self.above.is_none_or(Place::is_of_fields)
    }

    /// The path in snake_case.
    pub(super) fn name(&self) -> String {
        let mut name = self.above.map(Place::name).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Index(index) => name.push_str(&format!("[{index}]")),
            Step::Field(step) | Step::Key(step) => {
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(step);
            }
        }
        name
    }
}
