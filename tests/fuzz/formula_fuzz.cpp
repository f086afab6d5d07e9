// Formulas: what parses prints and reads back as the same tree, and a wiring's canonical form is a
// wiring, too.
#include "fathom/model/spec/canonical_wiring.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string text = grown(in);
  std::vector<Statement> statements;
  if (!accepts(text.size(), [&] { statements = parse_formula(text, "formula"); })) return;
  const std::string printed = to_text(statements);
  // Numbers may be printed longer than they were given.
  if (printed.size() <= kLongestFormula)
    require(parse_formula(printed, "formula") == statements, "a formula reads back as it was");
  Wiring wiring;
  if (!accepts(text.size(), [&] { wiring = parse_wiring(text); })) return;
  const Wiring form = canonical(wiring);
  check_wiring(form);
  equivalence_text(wiring);
  require(wiring_hash(wiring).size() == 16, "a wiring has a hash");
}

}  // namespace fathom::fuzzing
