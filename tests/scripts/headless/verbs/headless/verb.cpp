// `fathom headless RUN`: a verb that an experiment brings.
#include "fathom/cli/verbs.h"

#include "../../settings.h"
#include "request.h"

namespace fathom {

std::optional<ModelChoice> parse_headless(const Arguments& arguments) {
  CommandLine line("headless", "RUN [--key=value ...]", "Tells " + answer_of_headless() + ".",
                   "fathom headless mine");
  ModelChoice choice;
  line.positional("RUN", choice.run, "a run's name, or its folder");
  FieldList list;
  add_fields(list, choice);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  settle(choice);
  return choice;
}

Verb verb_headless() {
  Verb verb{"headless", "what a model without a head says", 500};
  verb.check = [](const Arguments& a) { return parse_headless(a).has_value(); };
  return verb;
}

}  // namespace fathom
