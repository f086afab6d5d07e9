#include "fathom/cli/eval/request.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/cli/loop_request.h"
#include "fathom/config/path_text.h"
#include "fathom/io/files.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/train/recipe/evaluations.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

// Refuses evaluations of other batches than the others'.
void check_evaluations(const EvalRequest& request, const ModelConfig& model) {
  for (const EvaluationSpec& spec : parse_evaluations(request.evaluations, model)) {
    if (spec.batches)
      misuse(fmt::format("the evaluation {} has batches of its own", spec.name),
             "all are compared on the same ones: --max_batches says how many");
    if (spec.split == "train" && request.split != "train")
      misuse(fmt::format("the evaluation {} is of the split train, the others of {}", spec.name,
                         request.split),
             "all are compared on the same batches: --split says of which split");
  }
}

void add_choice_fields(FieldList& list, EvalRequest& request) {
  list.section("choices");
  list.add("hellaswag", request.choices_file,
           "in place of a split: a file of questions with endings to choose from, JSON lines as "
           "HellaSwag has them (ctx, endings, label); empty: none")
      .path()
      .alias("choices");
  list.add("examples", request.examples, "of that file the first so many questions, 0: all")
      .at_least(0)
      .at_most(1e12);
}

void settle_choices(const FieldList& list, EvalRequest& request) {
  if (request.choices_file.empty()) {
    if (list.given("examples"))
      misuse("examples are questions of a file, and none was given", "add --hellaswag=FILE");
    return;
  }
  for (const char* key : {"split", "dataset", "max_batches", "loops", "evaluations"})
    if (list.given(key))
      misuse(fmt::format("hellaswag is a file of its own, and {} is of a corpus", key),
             "leave one of them out; --examples says how many questions");
  require_next_token(request.model, "eval --hellaswag");
  const std::string path = path_from_text(request.choices_file);
  request.choices = read_choices(read_once(path, kMostChoiceBytes), path, request.examples);
}

}  // namespace

std::optional<EvalRequest> parse_eval(const Arguments& arguments) {
  CommandLine line("eval", "RUN [--key=value ...]",
                   "Loss, perplexity and accuracy of a trained model over a whole split.",
                   "fathom eval quickstart --split=val");
  EvalRequest request;
  line.positional("RUN", request.model.run, "a run's name, or its folder");
  line.suggests(suggested_runs);
  FieldList list;
  add_fields(list, request.model);
  add_policy_field(list, request.model);
  list.section("evaluation");
  list.add("split", request.split, "train or val");
  list.add("dataset", request.dataset,
           "another corpus of the same vocabulary; empty: the run's own")
      .path()
      .suggests(suggested_corpora);
  list.add("batch_size", request.batch_size, "sequences of one forward pass")
      .at_least(1)
      .at_most(1 << 20);
  list.add("max_batches", request.max_batches, "stop after this many, 0: the whole split")
      .at_least(0)
      .at_most(1e12);
  std::string loops;
  list.add("loops", loops,
           "side by side: every loop group so often, for example 1,5,15,30; empty: as trained");
  list.add("evaluations", request.evaluations,
           "side by side: as a run's evaluations, 'exits: loop_halt_rule=kl'; empty: none");
  add_choice_fields(list, request);
  add_fields(list, request.output);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  settle(list, request.output);
  settle(request.model);
  const ModelConfig model = settle_state(request.model).config.model;
  if (!loops.empty()) {
    request.loops = loop_counts_of("loops", loops);
    require_loops(make_depth_plan(model), request.model.run);
  }
  if (!request.evaluations.empty()) check_evaluations(request, model);
  settle_choices(list, request);
  request.notices = notices_of(list);
  return request;
}

}  // namespace fathom
