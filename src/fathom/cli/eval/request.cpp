#include "fathom/cli/eval/request.h"

#include <fmt/format.h>

#include "fathom/base/error.h"
#include "fathom/config/path_text.h"
#include "fathom/io/files.h"
#include "fathom/model/spec/loop_counts.h"
#include "fathom/study/asked/loop_lists.h"
#include "fathom/study/asked/typed_text.h"
#include "fathom/train/recipe/numbers_options.h"
#include "fathom/train/recipe/suggested_words.h"

namespace fathom {
namespace {

void add_choice_fields(FieldList& list, EvalRequest& request) {
  list.section("choices");
  list.add("hellaswag", request.choices_file,
           "in place of a split: a file of questions with endings to choose from, JSON lines as "
           "HellaSwag has them (ctx, endings, label); empty: none")
      .path()
      .alias("choices");
  list.add("problems", request.problems_file,
           "in place of a split: a file of problems in words, JSON lines as GSM8K and SVAMP have "
           "them (question, answer), answered greedily and compared as numbers; empty: none")
      .path();
  list.add("prompt_end", request.prompt_end, "of problems: what stands between question and answer")
      .any_bytes();
  list.add("answer_tokens", request.answer_tokens, "of problems: how long an answer is")
      .at_least(1)
      .at_most(1 << 20);
  list.add("examples", request.examples, "of either file the first so many, 0: all")
      .at_least(0)
      .at_most(1e12);
}

// `file`: the key that names it.
void require_no_corpus(const FieldList& list, const char* file) {
  std::vector<std::string> keys = {"split", "dataset", "max_batches", "loops", "evaluations"};
  keys.insert(keys.end(), numbers_keys().begin(), numbers_keys().end());
  for (const std::string& key : keys)
    if (list.given(key))
      misuse(fmt::format("{} is a file of its own, and {} is of a corpus", file, key),
             "leave one of them out; --examples says how many questions");
}

void settle_choices(const FieldList& list, EvalRequest& request) {
  if (request.choices_file.empty() && request.problems_file.empty() && list.given("examples"))
    misuse("examples are questions of a file, and none was given",
           "add --hellaswag=FILE or --problems=FILE");
  if (request.choices_file.empty()) return;
  require_no_corpus(list, "hellaswag");
  if (!request.problems_file.empty())
    misuse("hellaswag and problems are two files", "evaluate one after the other");
  require_next_token(request.model, "eval --hellaswag");
  require_no_draws(request.model);
  const std::string path = path_from_text(request.choices_file);
  request.choices = read_choices(read_once(path, kMostChoiceBytes), path, request.examples);
}

void settle_problems(const FieldList& list, EvalRequest& request) {
  if (request.problems_file.empty()) {
    for (const char* key : {"prompt_end", "answer_tokens"})
      if (list.given(key))
        misuse(fmt::format("{} is of problems, and no file of them was given", key),
               "add --problems=FILE");
    return;
  }
  require_no_corpus(list, "problems");
  require_next_token(request.model, "eval --problems");
  require_no_draws(request.model);
  if (!request.prompt_end.empty()) request.prompt_end = start_text(request.prompt_end);
  const std::string path = path_from_text(request.problems_file);
  request.problems = read_word_problems(read_once(path, kMostProblemBytes), path, request.examples,
                                        &request.no_problems);
}

}  // namespace

std::optional<EvalRequest> parse_eval(const Arguments& arguments) {
  CommandLine line(
      "eval", "RUN [--key=value ...]",
      "Loss, perplexity and accuracy of a trained model over a whole split.\n"
      "loss is the last layer's at every target, objective what was optimised, where "
      "that is another number. Where layers answer: infer is the loss of the layer that "
      "answers, depth the mean number of layers up to there; a layer answers the share "
      "`answers` of the tokens, and is right in `right there` of those.",
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
           "side by side: every loop group so often, for example 1,2,4; empty: as trained")
      .or_alone("1,5,15,30");
  list.add("evaluations", request.evaluations,
           "side by side: as a run's evaluations, 'exits: loop_halt_rule=kl'; empty: none");
  // Of which what was given is taken over to the run's own.
  NumbersConfig numbers;
  std::string run_dataset;
  FieldList of_numbers;
  add_fields(of_numbers, numbers, [&] {
    return names_numbers(request.dataset.empty() ? run_dataset : request.dataset);
  });
  list.section("numbers");
  list.take(of_numbers, numbers_keys());
  add_choice_fields(list, request);
  add_fields(list, request.output);
  if (!parse_into(line, arguments, list)) return std::nullopt;
  settle(list, request.output);
  settle(request.model);
  const RunConfig run = settle_state(request.model).config;
  const ModelConfig& model = run.model;
  run_dataset = run.data.dataset;
  take_numbers(list, run, request);
  if (request.numbers) numbers = *request.numbers;  // what keys need is asked of all settings
  if (!loops.empty()) {
    request.loops = loop_counts_of("loops", loops);
    require_loops(make_depth_plan(model), request.model.run);
  }
  if (!request.evaluations.empty()) check_evaluations(request, model);
  settle_choices(list, request);
  settle_problems(list, request);
  require_answers(run, request);
  request.notices = notices_of(list);
  return request;
}

}  // namespace fathom
