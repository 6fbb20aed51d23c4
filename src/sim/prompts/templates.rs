//! Sentences with slots, by kind of task and level. `{n}` is a number of one or two digits, `{big}` one of three or four.
//!
//! The level shows in the words: hard asks name their constraints, which is what a router can learn from.

use super::{Kind, Level};

/// The sentences for a kind and level; never empty.
pub(super) fn templates(kind: Kind, level: Level) -> &'static [&'static str] {
    let [easy, medium, hard] = by_level(kind);
    match level {
        Level::Easy => easy,
        Level::Medium => medium,
        Level::Hard => hard,
    }
}

fn by_level(kind: Kind) -> [&'static [&'static str]; 3] {
    match kind {
        Kind::Code => CODE,
        Kind::Debugging => DEBUGGING,
        Kind::Sql => SQL,
        Kind::Maths => MATHS,
        Kind::Puzzle => PUZZLE,
        Kind::Translation => TRANSLATION,
        Kind::Summary => SUMMARY,
        Kind::Chat => CHAT,
        Kind::Creative => CREATIVE,
        Kind::Extraction => EXTRACTION,
        Kind::Formatting => FORMATTING,
        Kind::Classification => CLASSIFICATION,
    }
}

type ByLevel = [&'static [&'static str]; 3];

const CODE: ByLevel = [
    &[
        "Write a {lang} function called {function} that {fn_easy}.",
        "In {lang}, show me a short function `{function}` which {fn_easy}. One example call, please.",
        "I am new to {lang}. How do I write a function `{function}` that {fn_easy}?",
    ],
    &[
        "Write a {lang} module around `{function}` that {fn_mid}. Handle empty input and add {n} unit tests.",
        "Implement `{function}` in {lang}: it {fn_mid}. Explain the running time for {big} items.",
        "Refactor our {lang} code so that `{function}` {fn_mid}, and keep the public interface as it is.",
    ],
    &[
        "Design and implement in {lang} a component `{function}` that {fn_hard}. It must sustain {big} operations per second; prove why no invariant can break.",
        "In {lang} without external libraries: `{function}` {fn_hard}. State the complexity, the failure modes and how you would test concurrent interleavings.",
        "Write production-grade {lang} where `{function}` {fn_hard}, under a strict memory limit of {n} MB, with a proof sketch of correctness.",
    ],
];

const DEBUGGING: ByLevel = [
    &[
        "My {lang} function {function}() {bug_easy}. What is wrong?",
        "Why does `{function}` in this {lang} script {bug_easy}? Line {n} is where it stops.",
        "Fix this error in {lang}: calling `{function}(x)` {bug_easy}.",
    ],
    &[
        "Our {lang} service calls `{function}` and {bug_mid}. How do I find the cause? The stack trace ends at line {big}.",
        "Debug this: since the last release the {lang} function `{function}` {bug_mid}. Tests pass locally.",
        "`{function}` in our {lang} code base {bug_mid}. Show the likely faulty lines and a fix.",
    ],
    &[
        "Root-cause analysis wanted: a {lang} process running `{function}` on {big} cores {bug_hard}. Which hypotheses fit, and which experiment separates them?",
        "Our {lang} scheduler {bug_hard}; thread dumps show `{function}` at frame {n}. Explain the interleaving and give a fix that does not cost throughput.",
        "The {lang} runtime {bug_hard} whenever `{function}` is inlined. Explain the mechanism precisely and patch it.",
    ],
];

const SQL: ByLevel = [
    &[
        "Write an SQL query that selects all rows of {table} where {column} is above {n}.",
        "SQL: count the {table} per {column}, largest first.",
        "How do I select the {n} newest rows from the table {table} ordered by {column} in SQL?",
    ],
    &[
        "Write an SQL query that joins {table} with {table} on their ids and sums {column} per {column} for {month}, leaving out groups below {big}.",
        "In PostgreSQL, list for each {column} the three {table} with the highest {column}. Use a window function.",
        "SQL: find {table} without any matching row in {table} since {month}, grouped by {column}.",
    ],
    &[
        "Write a recursive PostgreSQL query over {table} and {table} that builds the hierarchy by {column}, detects cycles, and gives the running total of {column} per level; it must use the index and avoid a full scan of {big} million rows.",
        "Optimise this: a correlated subquery on {table} filtered by {column} and {column} with {big} partitions takes {n} minutes. Rewrite it, explain the plan and the isolation level you need.",
        "Design SQL with gaps-and-islands logic that finds sessions of more than {n} consecutive days in {table} per {column}, tolerant to late rows and time zones.",
    ],
];

const MATHS: ByLevel = [
    &[
        "What is {big} plus {big}, divided by {n}?",
        "Solve for x: {n}x + {n} = {big}.",
        "What is {n} percent of {big}?",
        "A train covers {big} km in {n} hours. What is its mean speed?",
    ],
    &[
        "Find the derivative of f(x) = {n}x^3 - {n}x^2 + {big} and say where it is zero.",
        "A loan of {big} euros grows at {n} percent a year. After how many years has it doubled? Show the steps.",
        "Two dice are rolled {n} times. What is the probability of at least one double six? Compute to three decimals, then for {big} rolls.",
        "Solve the system {n}x + {n}y = {big} and {n}x - {n}y = {n}.",
    ],
    &[
        "Prove that for every integer n >= {n} the sum of the first n cubes is a perfect square, and generalise to modulus {big}.",
        "Evaluate the integral of x^{n} * exp(-x^2) over the real line by two different methods and prove convergence; then bound the error of a {big} point quadrature.",
        "Let G be a finite group of order {big}. Prove which Sylow subgroups must be normal, and construct a counterexample for order {n} times that.",
        "Derive the asymptotic expansion of the expected maximum of {big} independent exponential variables to order {n}, rigorously.",
    ],
];

const PUZZLE: ByLevel = [
    &[
        "Riddle: {person} is older than {person}, who is older than {person}. Who is the youngest?",
        "If today is {weekday}, which day of the week is it in {n} days?",
        "{person} has {n} apples and gives away a third of them, rounded down. How many apples are left? Think step by step.",
    ],
    &[
        "Logic puzzle: {person}, {person} and {person} own a dog, a cat and a parrot. {person} is allergic to fur, and the cat's owner lives in {town}. Deduce who owns which pet, given {n} is the dog owner's house number.",
        "Three boxes are labelled wrongly as {goods}, {goods} and mixed. You may take one item out of one box. Deduce how to label all; then for {n} boxes.",
        "A {trade} must cross a river with a fox, a goose and a sack of grain in a boat with {n} planks. Reason out the shortest sequence of moves.",
    ],
    &[
        "On an island every inhabitant is a knight or a knave. {person} says that exactly {n} of the {big} others lie; {person} says that {person} would deny it. Deduce all consistent assignments and prove there are no more.",
        "Logic: {n} prisoners see each other's hats in {n} colours and may agree on a strategy. Devise the optimal strategy and prove that none does better for {big} prisoners.",
        "You have {n} weighings on a balance and {big} coins, one of which is false and lighter or heavier. Decide whether it can be found, and prove the information bound.",
    ],
];

const TRANSLATION: ByLevel = [
    &[
        "Translate into {tongue}: \"{phrase}\"",
        "How do you say \"{phrase}\" in {tongue}?",
        "{tongue} translation, please: {phrase} {phrase}",
    ],
    &[
        "Translate this note into polite {tongue} for {person} in {town}: \"{phrase} {phrase} {phrase}\"",
        "Translate into {tongue} and {tongue}, side by side: \"{phrase} {phrase}\"",
        "Turn this into natural {tongue}, as a {trade} would say it: \"{phrase} {phrase}\"",
    ],
    &[
        "Translate into {tongue}, keeping register, rhythm and every ambiguity, with translator's notes on idioms: \"{paragraph}.\"",
        "Render in literary {tongue} and then back-translate, discussing what is lost: \"{paragraph}. {paragraph}.\"",
        "Certified translation into {tongue} with the legal terms of {town}'s courts: \"{paragraph}.\"",
    ],
];

const SUMMARY: ByLevel = [
    &[
        "Summarise in one sentence for {audience}: {report}, writes the {town} gazette.",
        "Give me the main point of this news of {n} {month}: {report}.",
        "TL;DR please: In {town} last {weekday}, {report}.",
    ],
    &[
        "Summarise for {audience} in {n} words: In {month}, {report}. Meanwhile in {town}, {report}.",
        "Write an abstract with three bullet points: {report}. Also, {report}.",
        "Summarise both sides of this and name what stays open: {report}; {person} disagrees because {report}.",
    ],
    &[
        "Summarise critically, separating fact, inference and omission, for {audience}: {report}. Then {report}. A week later {report}.",
        "Condense these conflicting accounts into a balanced brief of exactly {n} words, flagging contradictions: {report}. But {person} wrote: {report}. And {person}: {report}.",
    ],
];

const CHAT: ByLevel = [
    &[
        "Hi! How are you today? I am off to {town} on {weekday} for some {hobby}.",
        "Can you recommend a good hobby if I already like {hobby} and {hobby}?",
        "What should I cook tonight? It is {weekday} and I only have {n} minutes.",
        "Good morning! Tell me something nice about {topic}.",
    ],
    &[
        "What would you tell {audience} who asks why {topic} matter, over coffee in {town}?",
        "Hey, {worry}. Any advice? I have until {weekday}.",
        "My friend {person} wants to give up {hobby} after {n} years. How do I cheer them up?",
    ],
    &[
        "I need honest, careful advice: {worry}, and on top of that {worry}. {person} thinks I should move to {town}. What am I not seeing?",
        "Talk me through a difficult conversation with {person}: {worry}, they feel judged, and {weekday} is our last chance to mend it.",
    ],
];

const CREATIVE: ByLevel = [
    &[
        "Write a {mood} {form} about {scene}.",
        "Invent a title and a first line for a {mood} {form} about {scene}, set in {town}.",
        "A {mood} {form} of {n} lines, please: {scene}.",
    ],
    &[
        "Write a {mood} {form} in which {person} meets {scene}; it should end on a {weekday} in {month}.",
        "Write a dialogue between a {trade} and {scene}, {mood} in tone, with a twist.",
        "Write a {mood} {form} for {audience} about {scene} and {topic}.",
    ],
    &[
        "Write a {mood} {form} about {scene} without the letter e in its last {n} lines, with an unreliable narrator and an image that returns transformed.",
        "Compose a sonnet in strict iambic pentameter, {mood}, where {scene} stands for grief and each quatrain hides the name {person}.",
    ],
];

const EXTRACTION: ByLevel = [
    &[
        "Extract the name and the town: \"{person} from {town} ordered {n} {goods}.\"",
        "Which date is named in this text? \"The {trade} comes on {weekday}, {n} {month}.\"",
        "Extract the amount from: \"Invoice {big}: {n} {goods}, total {big} euros, {person}.\"",
    ],
    &[
        "Extract all names, towns and amounts from this mail: \"{person} in {town} wants {n} {goods} by {month}; {person} from {town} cancelled {big}.\"",
        "Extract sender, due date and order number: \"Dear {person}, order {big} of {goods} leaves {town} on {weekday}, payable by {n} {month}. Regards, {person}.\"",
        "List each item with its quantity and price from: \"{n} {goods} at {n} each, {n} {goods} at {big} in all, delivered to {town}.\"",
    ],
    &[
        "Extract every obligation with its party, deadline and condition, resolving pronouns: \"{person} delivers {goods} to {town} by {n} {month} unless {person} objects, in which case they pay {big} and she keeps the {goods}.\"",
        "Extract entities, relations and the corrected amounts, noting contradictions: \"{person} paid {big} for {goods}; no, it was {person}, in {town}, and {n} less; the {trade} says otherwise.\"",
    ],
];

const FORMATTING: ByLevel = [
    &[
        "Convert to {format}: name {person}, town {town}, age {n}.",
        "Turn this into {format}: {goods} {n}, {goods} {n}, {goods} {big}.",
        "Sort these alphabetically and give them as {format}: {goods}, {goods}, {goods}, {goods}.",
    ],
    &[
        "Reformat as {format} with keys in snake case and dates in ISO style: {person}, {n} {month}, {town}, {big}; {person}, {n} {month}, {town}, {big}.",
        "Convert this CSV to {format}, numbers as numbers: id,name,goods,qty\\n{big},{person},{goods},{n}\\n{big},{person},{goods},{n}",
        "Make {format} of the week's plan: {weekday} {person} {goods}; {weekday} {person} {goods}; total {big}.",
    ],
    &[
        "Convert to {format} under this schema: nested by town then person, amounts as minor units, missing as null, stable key order, no trailing spaces: {person} {town} {goods} {big}; {person} {town} {goods}; {town} {big}.",
        "Normalise to {format}: mixed decimal commas, two date styles and a duplicate to merge: {person};{n},5;{n} {month};{town} / {person};{big}.25;{month} {n};{town} / {person};{n};{weekday};{goods}.",
    ],
];

const CLASSIFICATION: ByLevel = [
    &[
        "Is this review positive or negative? \"The set of {goods} {verdict}.\"",
        "Classify the sentiment: \"{person}: my order of {goods} {verdict}.\"",
        "Label this ticket as billing, delivery or fault: \"Order {big} to {town}: the {goods} {verdict}.\"",
    ],
    &[
        "Classify each as praise, complaint or neutral: 1) the {goods} {verdict} 2) our {trade} from {town} {verdict} 3) the parcel of {goods} {verdict}.",
        "Label the intent (refund, question, praise, spam) and urgency from 1 to 5: \"{person} from {town}: the {goods} {verdict}, reply by {weekday}.\"",
        "Categorise this message by department and tone: \"The {trade} came on {weekday}; the {goods} {verdict}.\"",
    ],
    &[
        "Multi-label classification with confidence and a reason each, mind sarcasm: \"Oh wonderful, the {goods} {verdict}, and {person} from {town} says theirs {verdict}.\" Labels: irony, complaint, praise, fault, legal threat.",
        "Classify under this taxonomy and justify borderline cases: product>fault, product>fit, service>delay, service>tone: \"The {goods} {verdict}; the {trade} in {town} {verdict}; I waited {n} days.\"",
    ],
];
