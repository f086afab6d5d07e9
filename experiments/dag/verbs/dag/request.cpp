#include "experiments/dag/verbs/dag/request.h"

#include <fmt/format.h>

#include "experiments/dag/architecture.h"
#include "fathom/base/error.h"
#include "fathom/base/text.h"
#include "fathom/data/numbers/english.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom::dag {
namespace {

void require_programs(const ModelChoice& choice, const RunConfig& config) {
  const auto& architecture = config.model.architecture;
  const bool is_one =
      architecture && (architecture->name == kModelName || architecture->name == kPredictorName);
  if (is_one && settings_of(config.model.own).depth > 0) return;
  misuse(fmt::format("the tokens of {}, a run of {}, have no programs: {}", choice.run,
                     config.preset, is_one ? "dag_depth = 0" : "it has no dag_depth"),
         "`fathom train dag_small --run_name=NAME` trains a model that has them");
}

bool is_picture(report::Format format) {
  return format == report::Format::kSvg || format == report::Format::kHtml ||
         format == report::Format::kPng;
}

std::string behind_expression(const std::string& text, const DataConfig& data) {
  if (!names_numbers(data.dataset) || text.find_first_of("=\n") != text.npos) return "";
  try {
    from_english(trim(text));
  } catch (const Error&) {
    return "";  // no expression
  }
  return data.numbers.result_digits > 0 ? " =" : "\n";
}

}  // namespace

std::optional<DagRequest> parse_dag(const Arguments& arguments) {
  CommandLine line("dag", "RUN --text=\"...\" [--key=value ...]",
                   "The program that a token of a text chose: its values, its operations and what "
                   "they give, beside what the text says.",
                   "fathom dag sums --text=\"2 * (7.5 - 3)\"");
  DagRequest request;
  std::string text;
  line.positional("RUN", request.model.run, "a run's name, or its folder");
  line.suggests(suggested_runs);
  FieldList list;
  add_fields(list, request.model);
  add_policy_field(list, request.model);
  list.section("text");
  list.add("text", text, "a text, such as \"2 * (7.5 - 3)\", or FILE:path").any_bytes();
  list.add(
          "token", request.token,
          "whose program: 0 is the text's first; None: behind an expression, where the run's texts "
          "go on by \" =\" or a line break, or else the last")
      .at_least(0)
      .at_most(1 << 25);
  list.add(
      "all", request.all,
      "tables of all tokens' programs and of their values at every stage, in place of one token's "
      "program");
  add_fields(list, request.output);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  request.text = start_text(text);
  if (request.text.empty())
    misuse("there is no text whose tokens would choose programs",
           "for example --text=\"2 * (7.5 - 3)\"");
  if (request.all && request.token)
    misuse("token names one token, and all asks for all of them", "leave out one of the two");
  settle(list, request.output);
  settle(request.model);
  const RunConfig run = settle_state(request.model).config;
  require_programs(request.model, run);
  if (!request.token && !request.all) request.behind = behind_expression(request.text, run.data);
  if (!request.all && is_picture(request.output.format)) report::require_graphviz();
  request.notices = notices_of(list);
  return request;
}

}  // namespace fathom::dag
