#include "experiments/dag/written_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/numbers/english.h"

namespace fathom::dag {
namespace {

std::string_view expression_in(std::string_view text) {
  return trim(text.substr(0, text.find('=')));
}

// A number of a stack that the model has no value for; empty: there is none.
std::string unreached_number(const WrittenProgram& written, const DagSettings& settings) {
  if (settings.executor != Executor::kStack || settings.domain != Domain::kSignLog) return "";
  const double least = std::exp(-settings.value_limit), most = std::exp(settings.value_limit);
  for (size_t v = 0; v < written.used.size(); ++v) {
    const double size = std::fabs(written.program.values[v].value());
    if (written.used[v] && (size < least || size > most))
      return fmt::format(
          "the model's numbers are {:.2g} to {:.5g} large, and {} is not: "
          "dag_value_limit = {:g}",
          least, most, to_text(written.program.values[v]), settings.value_limit);
  }
  return "";
}

std::string unknown_operation(const WrittenProgram& written, const DagSettings& settings) {
  const std::vector<Operation>& known = settings.operations;
  for (const Operation operation : written.program.operations)
    // A list needs no identity to be filled up: what its first operations give may stay unused.
    if ((operation != Operation::kIdentity || settings.executor == Executor::kStack) &&
        std::find(known.begin(), known.end(), operation) == known.end())
      return fmt::format("the model has no {}: dag_ops", to_text(operation));
  return "";
}

}  // namespace

WrittenProgram written_program(std::string_view text, const DagSettings& settings) {
  WrittenProgram out;
  out.program = program_of(from_english(expression_in(text)), static_cast<size_t>(settings.depth));
  out.used = used_values(out.program);
  out.results = results_of(out.program);
  return out;
}

WrittenText written_text(std::string_view text, const DagSettings& settings) {
  WrittenText out;
  try {
    out.expression = from_english(expression_in(text));
    out.value = value_of_expression(out.expression);
    out.program = written_program(text, settings);
    out.reason = unreached_number(*out.program, settings);
    if (out.reason.empty()) out.reason = unknown_operation(*out.program, settings);
  } catch (const Error& error) {
    out.reason = error.what();
    if (!error.hint().empty()) out.reason += "; " + error.hint();
  }
  return out;
}

}  // namespace fathom::dag
