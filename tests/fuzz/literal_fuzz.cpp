// Literals of the command line: what was read is spelled so that it reads back as the same value.
#include <nlohmann/json.hpp>

#include "fathom/config/literal.h"
#include "fuzz/fuzzing.h"

namespace fathom::fuzzing {

FATHOM_FUZZ(in) {
  const std::string text = grown(in);
  nlohmann::json value;
  if (!accepts(text.size(), [&] { value = parse_literal(text); })) return;
  const std::string spelled = to_literal(value);
  // By spelling: NaN is not equal to itself.
  require(to_literal(parse_literal(spelled)) == spelled, "a literal reads back as it was");
}

}  // namespace fathom::fuzzing
