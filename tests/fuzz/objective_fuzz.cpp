// Objectives as they are typed: what was read prints itself so that it reads back as the same one,
// and its layers are there or refused.
#include "fathom/model/spec/objective.h"

#include <algorithm>

#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string text = grown(in);
  Objective objective;
  if (!accepts(text.size(), [&] { objective = parse_objective(text); })) return;
  require(!objective.terms.empty(), "an objective has a term");
  const std::string printed = to_text(objective);
  if (printed.size() <= kLongestFormula) {
    const Objective again = parse_objective(printed);
    require(to_text(again) == printed, "an objective reads back as it was");
    require(objective_hash(again) == objective_hash(objective), "and has the same hash");
  }
  SupervisionTable table;
  if (!accepts(text.size(), [&] { table = table_of(objective, 3); })) return;
  for (const SupervisionTerm& term : table) require(term.weights.size() == 3, "a weight per layer");
  require(layers_that_answer(table, 3).size() == 3, "a layer answers or does not");
}

}  // namespace fathom::fuzzing
