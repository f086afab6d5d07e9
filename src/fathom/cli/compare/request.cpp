#include "fathom/cli/compare/request.h"

#include "fathom/train/recipe/suggested_words.h"

namespace fathom {

std::optional<CompareRequest> parse_compare(const Arguments& arguments) {
  CommandLine line(
      "compare", "RUN ... [--key=value ...]",
      "Runs side by side at equal steps, tokens, FLOPs and seconds. Runs that differ in their "
      "seed only are a group. Early speed and the final value are told apart, each with its "
      "difference from the first group, the interval of that, a test (paired where the same "
      "seeds saw the same data, else Welch's) and what it says at this number of runs.",
      "fathom compare quickstart quickstart_early_exit --output=compare.svg");
  CompareRequest request;
  std::string first;
  line.positional("RUN", first,
                  "a run's name or folder, a pattern of names ('width-*'), or a sweep; any number");
  line.suggests(suggested_runs);
  line.takes_more_words(request.runs);
  FieldList list;
  list.section("comparison");
  list.add("metric", request.metric, "its name in the run store; a wrong one lists all");
  list.add<CompareBy>("by", request.by, "the budget that is to be equal; all: each that runs store",
                      {{"all", CompareBy::kAll},
                       {"step", CompareBy::kStep},
                       {"tokens", CompareBy::kTokens},
                       {"flops", CompareBy::kFlops},
                       {"seconds", CompareBy::kSeconds}});
  list.add<GroupBy>("group", request.group,
                    "settings: runs that differ in their seed only are a group; word: those that "
                    "one word of this line names",
                    {{"settings", GroupBy::kSettings}, {"word", GroupBy::kWord}});
  list.add("baseline", request.baseline,
           "what differences are from: a group's name, or a run of it; empty: the first group");
  list.add<Better>(
      "better", request.better, "auto is higher for accuracies, else lower",
      {{"auto", Better::kAuto}, {"lower", Better::kLower}, {"higher", Better::kHigher}});
  list.add("confidence", request.confidence, "of intervals; a test errs in 1 minus this")
      .above(0.5)
      .below(1);
  list.add("early", request.early, "share of the common budget that counts as early")
      .above(0)
      .below(1);
  list.add("level", request.level,
           "that runs are to reach; None: what all have after a quarter of the common budget");
  list.add("last", request.last, "evaluations that the final value is the mean of")
      .at_least(1)
      .at_most(1'000'000);
  add_fields(list, request.output);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  request.runs.insert(request.runs.begin(), first);
  settle(list, request.output);
  return request;
}

}  // namespace fathom
