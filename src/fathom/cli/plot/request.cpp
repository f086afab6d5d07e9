#include "fathom/cli/plot/request.h"

#include "fathom/base/error.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {

std::optional<PlotRequest> parse_plot(const Arguments& arguments) {
  CommandLine line(
      "plot", "RUN ... [--key=value ...]",
      "Curves of one or more runs in one picture, from the numbers that `fathom export`\n"
      "exports: in the terminal, or as a page or a picture.",
      "fathom plot quickstart quickstart_early_exit --output=loss.svg");
  PlotRequest request;
  std::string first;
  line.positional("RUN", first, "a run's name, or its folder; more of them for more curves");
  line.suggests(suggested_runs);
  line.takes_more_words(request.runs);
  FieldList list;
  list.section("curves");
  list.add("metric", request.metric,
           "its name in the run store, or several, separated by commas; a wrong one lists all");
  list.add<PlotX>("x", request.x, "what the numbers are drawn over, where a run has stored it",
                  {{"step", PlotX::kStep},
                   {"tokens", PlotX::kTokens},
                   {"seconds", PlotX::kSeconds},
                   {"flops", PlotX::kFlops}});
  list.add("log_x", request.log_x, "a logarithmic axis; what is not above 0 is left out");
  list.add("log_y", request.log_y, "the same upwards");
  add_fields(list, request.output);
  // LMPlay's.
  list.refuse("plot_train", "curves are named by their metric", "--metric=train/loss");
  list.refuse("out_type", "a picture is what its file's name ends with", "--output=loss.png");
  list.refuse("target", "differences to a run are told with their interval",
              "`fathom compare TARGET RUN`");
  list.refuse("max_files", "curves are of the runs that are named", "name fewer of them");
  for (const char* name : {"average_count", "min_show", "plot_raw"})
    list.refuse(name, "numbers are drawn as they were stored", "leave it out");
  if (!parse_into(line, arguments, list)) return std::nullopt;
  request.runs.insert(request.runs.begin(), first);
  settle(list, request.output);
  if (request.metrics().empty())
    misuse("metric names nothing", "leave it out for eval/val/loss, or name one");
  return request;
}

}  // namespace fathom
