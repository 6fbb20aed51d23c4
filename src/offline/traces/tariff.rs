//! What an arm charges, from what the log says that its calls cost.

use crate::domain::{Arm, ArmId, CapabilitySet, Limits, Price, ProviderId, Usage};

/// Sums of a least-squares fit of cost, USD per million, on tokens in and out.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Fit {
    ii: f64,
    io: f64,
    oo: f64,
    ic: f64,
    oc: f64,
    cc: f64,
}

impl Fit {
    fn add(&mut self, input: f64, output: f64, micro_usd: f64) {
        self.ii += input * input;
        self.io += input * output;
        self.oo += output * output;
        self.ic += input * micro_usd;
        self.oc += output * micro_usd;
        self.cc += micro_usd * micro_usd;
    }

    /// `None` when the costs do not tell the two prices apart, or nothing was seen.
    fn price(&self) -> Option<Price> {
        let determinant = self.ii * self.oo - self.io * self.io;
        if determinant <= 1e-9 * self.ii * self.oo {
            return None;
        }
        let input = ((self.oo * self.ic - self.io * self.oc) / determinant).max(0.0);
        let output = ((self.ii * self.oc - self.io * self.ic) / determinant).max(0.0);
        let price = Price::flat(input, output);
        price.is_valid().then_some(price)
    }
}

/// Both sources; what was expected follows the list price exactly, what was paid may hold discounts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Tariff {
    expected: Fit,
    paid: Fit,
}

impl Tariff {
    pub(super) fn expected(&mut self, input: f64, output: f64, cost_usd: f64) {
        self.expected.add(input, output, cost_usd * 1e6);
    }

    pub(super) fn paid(&mut self, usage: &Usage, cost_usd: f64) {
        self.paid.add(f64::from(usage.input_tokens), f64::from(usage.output_tokens), cost_usd * 1e6);
    }

    pub(super) fn arm(&self, id: &ArmId) -> Option<Arm> {
        Some(Arm {
            id: id.clone(),
            provider: ProviderId::from("logged"),
            model: id.to_string(),
            price: self.expected.price().or_else(|| self.paid.price())?,
            limits: Limits { context_window: u32::MAX, max_output: None },
            capabilities: CapabilitySet::default(),
        })
    }
}
