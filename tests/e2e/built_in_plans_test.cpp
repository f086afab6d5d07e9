// The plans that the program brings, on small data prepared under the published data's names.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "e2e/program.h"
#include "fathom/io/checkpoint_folder.h"

namespace fathom::testing {
namespace {

using ::testing::HasSubstr;
using Words = std::vector<std::string>;

class BuiltInPlans : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new Workplace;
    place_->write("text.txt", small_text());
    std::string questions, talks, sums;
    for (int i = 0; i < 12; ++i) {
      const std::string n = std::to_string(i);
      questions += R"({"system_prompt": "Be brief.", "question": ")" + n +
                   R"( and 1?", "response": "More than )" + n + "\"}\n";
      talks += R"({"messages": [{"role": "user", "content": "Say )" + n +
               R"("}, {"role": "assistant", "content": ")" + n + "!\"}]}\n";
      sums += R"({"question": ")" + n + R"( + 0?", "answer": ")" + n + "\"}\n";
    }
    place_->write("questions.jsonl", questions);
    place_->write("talks.jsonl", talks);
    place_->write("sums.jsonl", sums);
    for (const char* name : {"tinystories", "wiki_en", "wiki_es", "cosmopedia_v2", "fineweb_edu"})
      prepare("text.txt", name, {});
    prepare("questions.jsonl", "openorca",
            {"--prompt_field=system_prompt,question", "--truth_field=response"});
    prepare("talks.jsonl", "smoltalk", {});
    prepare("sums.jsonl", "orcamathword200", {"--prompt_field=question", "--truth_field=answer"});
  }
  static void TearDownTestSuite() { delete place_; }

  static void prepare(const std::string& file, const std::string& name, Words more) {
    more.insert(more.begin(), {"prepare", file, "--name=" + name, "--tokenizer=byte"});
    const Outcome o = place_->run(more);
    ASSERT_EQ(o.exit_code, 0) << o.err;
  }

  static Workplace* place_;
};
Workplace* BuiltInPlans::place_ = nullptr;

const Words kSmall = {"--n_layer=1",     "--n_embd=16",    "--n_head=2", "--block_size=32",
                      "--batch_size=16", "--eval_iters=1", "--threads=1"};

TEST_F(BuiltInPlans, TrainToTheStepsThatTheyAreCheckedFor) {
  for (const std::string name : {"default", "tinystories", "instruction_ft", "full_v1", "all"}) {
    Words words = {"plan", name, "test_runner", "--json"};
    words.insert(words.end(), kSmall.begin(), kSmall.end());
    const Outcome plan = place_->run(words);
    ASSERT_EQ(plan.exit_code, 0) << name << plan.err;
    const auto stages = nlohmann::json::parse(plan.out).at("stages");
    int64_t steps = 0;
    for (const auto& stage : stages) steps += stage.at("steps").get<int64_t>();
    words = {"train", "test_runner", "--training_plan=" + name, "--run_name=" + name};
    words.insert(words.end(), kSmall.begin(), kSmall.end());
    const Outcome o = place_->run(words);
    ASSERT_EQ(o.exit_code, 0) << name << o.err;
    const auto newest = newest_complete(place_->path("runs/" + name + "/checkpoints"));
    ASSERT_TRUE(newest) << name;
    EXPECT_EQ(newest->step, steps) << name;
    EXPECT_GT(steps, 0) << name;
    for (size_t i = 0; i + 1 < stages.size(); ++i)
      EXPECT_TRUE(std::filesystem::exists(place_->path("runs/" + name + "/checkpoints/stage-" +
                                                       stages[i].at("name").get<std::string>())))
          << name;
  }
}

TEST_F(BuiltInPlans, AreAllReadyWhereTheirDataIs) {
  const Outcome list = place_->run({"plan", "list"});
  ASSERT_EQ(list.exit_code, 0) << list.err;
  EXPECT_THAT(list.out, HasSubstr("hugepretrain"));
  EXPECT_THAT(list.out, ::testing::Not(HasSubstr("not prepared")));
}

}  // namespace
}  // namespace fathom::testing
