#include "fathom/train/recipe/built_in_plans.h"

#include <algorithm>

#include "fathom/base/text.h"
#include "fathom/train/recipe/plan_data.h"
#include "fathom/train/recipe/training_plan.h"

namespace fathom {
namespace {

using Names = std::vector<std::string>;

// Of several corpora, rows in turn until all were read.
Stage one_epoch(const std::string& name, const Names& corpora) {
  Stage stage;
  stage.name = name;
  stage.overrides = {{"dataset", join(corpora, ",")}};
  if (corpora.size() > 1) stage.overrides.emplace_back("mixture", "all_exhausted");
  stage.budget = {Budget::Unit::kEpochs, 1};
  return stage;
}

// The same until the shortest was read.
Stage short_epoch(const std::string& name, const Names& corpora) {
  Stage stage = one_epoch(name, corpora);
  stage.overrides.back().second = "first_exhausted";
  return stage;
}

BuiltInPlan of_one(const std::string& name, const std::string& corpus, const std::string& summary) {
  return {{name, {one_epoch(name, {corpus})}}, summary, /*is_ours=*/false};
}

std::vector<BuiltInPlan> make_plans() {
  const Names wiki = {"wiki_en", "wiki_es"};
  const Names pretrain = {"tinystories", "wiki_en", "wiki_es"};
  const Names big = {"tinystories", "wiki_en", "wiki_es", "cosmopedia_v2"};
  const Names huge = {"tinystories", "wiki_en", "wiki_es", "cosmopedia_v2", "fineweb_edu"};
  const Names instruct = {"openorca", "smoltalk"};
  const Names all_instruct = {"openorca", "smoltalk", "orcamathword200"};
  return {
      {{"default", {one_epoch("med_mix", {"tinystories", "wiki_en", "wiki_es", "smoltalk"})}},
       "stories, two Wikipedias and conversations, mixed",
       false},
      {{"wiki_en_es", {short_epoch("wiki_en_es", wiki)}},
       "the English and the Spanish Wikipedia in turn, as far as both go",
       false},
      {{"l_wiki_en_es", {one_epoch("l_wiki_en_es", wiki)}}, "the same until both were read whole"},
      {{"full_v1", {one_epoch("pretrain", pretrain), one_epoch("openorca", {"openorca"})}},
       "stories and Wikipedias, then questions and answers"},
      {{"full", {one_epoch("pretrain", big), one_epoch("instruct", all_instruct)}},
       "those and textbooks, then all prompts with answers"},
      {{"bigpretrain", {one_epoch("bigpretrain", big)}}, "stories, Wikipedias and textbooks"},
      {{"hugepretrain", {one_epoch("hugepretrain", huge)}}, "those and pages that teach"},
      {{"pretrain", {one_epoch("pretrain", pretrain)}}, "stories and Wikipedias"},
      of_one("openorca", "openorca", "questions and answers"),
      of_one("tinystories", "tinystories", "stories in the words of a small child"),
      of_one("orcamathword200", "orcamathword200", "arithmetic in words"),
      of_one("smoltalk_all", "smoltalk", "conversations"),
      of_one("cosmopedia_v2", "cosmopedia_v2", "written textbooks"),
      {{"instruction_ft", {short_epoch("instruction_ft", instruct)}},
       "questions and conversations in turn, as far as both go"},
      {{"l_instruction_ft", {one_epoch("l_instruction_ft", all_instruct)}},
       "those and arithmetic until all were read whole"},
      {{"all", {one_epoch("pretrain", huge), one_epoch("instruct", all_instruct)}},
       "everything that the others have: texts, then prompts with answers"},
  };
}

}  // namespace

const std::vector<BuiltInPlan>& built_in_plans() {
  static const std::vector<BuiltInPlan> all = make_plans();
  return all;
}

const BuiltInPlan* find_built_in_plan(const std::string& name) {
  for (const BuiltInPlan& built_in : built_in_plans())
    if (built_in.plan.name == name) return &built_in;
  return nullptr;
}

std::vector<std::string> missing_data(const TrainingPlan& plan) {
  std::vector<std::string> missing;
  for (const Stage& stage : plan.stages) {
    const std::string dataset = override_of(stage, "dataset");
    if (dataset.empty()) continue;
    for (const std::string& part : data_parts(dataset))
      if (!is_prepared(part) && std::find(missing.begin(), missing.end(), part) == missing.end())
        missing.push_back(part);
  }
  return missing;
}

}  // namespace fathom
