// What `fathom eval` and its like tell of a run: numbers of what was scored, and of what is not
// known; corpora that are others by now; weights that are none.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "e2e/small_run.h"
#include "fathom/io/safetensors.h"
#include "fathom/track/run_store.h"

namespace fathom::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Words kRainy = {"the ", "rain ", "falls ", "and ", "rises "};
const Words kStormy = {"雨が降る", "川", "水は", "山に", "風、"};

// Words of ASCII, then as many whose characters have three bytes.
std::string text_of_two_halves(int n) {
  std::string text;
  for (int i = 0; i < 2 * n; ++i)
    text += (i < n ? kRainy : kStormy)[static_cast<size_t>(i * i % 7 % 5)];
  return text;
}

int64_t characters_of(const std::string& text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

class Evaluated : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    place_ = new SmallRuns;
    ASSERT_EQ(place_->train({"--run_name=shared", "--max_iters=2"}).exit_code, 0);
  }
  static void TearDownTestSuite() { delete place_; }

  static nlohmann::json eval(const std::string& run, const Words& more) {
    Words words = {"eval", run, "--json"};
    words.insert(words.end(), more.begin(), more.end());
    const Outcome o = place_->run(words);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    return nlohmann::json::parse(o.out);
  }
  // The run's last checkpoint as another one, with weights of this value; its checksums are right.
  static void spoil(const std::string& run, const std::string& as, float value) {
    const std::string last = place_->checkpoint(run, "last");
    const SafetensorsFile model = SafetensorsFile::open(last + "/model.safetensors");
    std::vector<TensorView> tensors;
    std::vector<float> weights;
    for (const TensorInfo& t : model.tensors()) {
      tensors.push_back({t.name, t.dtype, t.shape, model.bytes(t)});
      if (t.name != "mlp.1.up.weight") continue;
      weights.assign(t.size / sizeof(float), value);
      tensors.back().bytes = {reinterpret_cast<const std::byte*>(weights.data()), t.size};
    }
    ASSERT_FALSE(weights.empty());
    CheckpointWriter writer(place_->checkpoint(run, as));
    write_safetensors(writer.file("model.safetensors"), tensors, model.metadata());
    for (const char* file : {"optimizer.safetensors", "state.json"})
      std::filesystem::copy_file(last + "/" + file, writer.file(file));
    writer.commit();
  }

  static SmallRuns* place_;
};
SmallRuns* Evaluated::place_ = nullptr;

// Bits per byte -----------------------------------------------------------------------------------

void expect_bits(const nlohmann::json& e, double bytes) {
  EXPECT_EQ(e["bytes"].get<double>(), bytes);
  const double nats = e["loss"].get<double>() * e["targets"].get<double>();
  EXPECT_NEAR(e["bits_per_byte"].get<double>(), nats / std::log(2) / bytes, 1e-9);
}

// Of the first `end` characters, but for the first one of each shard, which is no target.
double bytes_of(const std::string& text, int64_t end, int64_t shard) {
  double bytes = 0;
  int64_t n = -1;
  for (const char c : text) {
    n += (c & 0xC0) != 0x80;
    if (n < end && n % shard != 0) ++bytes;
  }
  return bytes;
}

TEST_F(Evaluated, BitsPerByteAreOfTheTargetsThatWereScored) {
  // The last tenth is for validation, all of it of the second half.
  const std::string text = text_of_two_halves(1000);
  const auto cut = static_cast<int64_t>(double(characters_of(text)) * 0.9);
  size_t at = 0;
  for (int64_t n = 0; n <= cut; ++at) n += (text[at] & 0xC0) != 0x80;
  const std::string train = text.substr(0, --at), val = text.substr(at);
  ASSERT_GT(double(val.size()) / characters_of(val), 1.5 * train.size() / characters_of(train))
      << "else the case is pointless";
  place_->write("text.txt", text);
  ASSERT_EQ(place_->run({"prepare", "text.txt"}).exit_code, 0);
  ASSERT_EQ(place_->run({"prepare", "text.txt", "--name=shards", "--shard_tokens=500"}).exit_code,
            0);
  ASSERT_EQ(place_->train({"--dataset=text", "--run_name=text", "--max_iters=1"}).exit_code, 0);

  const auto whole = eval("text", {});
  EXPECT_EQ(whole["targets"], characters_of(val) - 1);
  expect_bits(whole, bytes_of(val, characters_of(val), 1 << 30));

  const auto shards = eval("text", {"--dataset=shards", "--split=train"});
  EXPECT_EQ(shards["targets"], characters_of(train) - (characters_of(train) + 499) / 500);
  expect_bits(shards, bytes_of(train, characters_of(train), 500));

  const auto part = eval("text", {"--split=train", "--max_batches=3", "--batch_size=2"});
  EXPECT_EQ(part["targets"], 3 * 2 * 16);
  expect_bits(part, bytes_of(train, 3 * 2 * 16 + 1, 1 << 30));
}

// What is not known -------------------------------------------------------------------------------

TEST_F(Evaluated, OneDrawHasNoErrorAndSaysSo) {
  const Words one = {"--max_batches=1", "--batch_size=1"};
  EXPECT_TRUE(eval("shared", one)["standard_error"].is_null());
  EXPECT_THAT(place_->run({"eval", "shared", one[0], one[1]}).out, HasSubstr(" +- n/a "));
  const auto by = [](const std::string& size) {
    return eval("shared", {"--batch_size=" + size})["standard_error"].get<double>();
  };
  EXPECT_GT(by("1"), 0);
  EXPECT_NEAR(by("1"), by("7"), 1e-6) << "of sequences, not of batches";

  const Outcome o =
      place_->train({"--run_name=one", "--max_iters=1", "--batch_size=1", "--eval_iters=1"});
  EXPECT_THAT(o.out, HasSubstr("(+-n/a)"));
  const auto points = RunStore(place_->path("runs/fathom.db"), {/*read_only=*/true})
                          .series("one", "eval/val/standard_error");
  ASSERT_EQ(points.size(), 2u) << "before and after the step";
  for (const Point& p : points) EXPECT_TRUE(std::isnan(p.value));
}

TEST_F(Evaluated, WeightsThatAreNotFiniteFail) {
  const float values[] = {std::nanf(""), HUGE_VALF, 3e38F};
  for (const float value : values) {
    SCOPED_TRACE(value);
    spoil("shared", "step-000000009", value);
    // The last of them is finite, but what it computes is not.
    const Outcome o = place_->run({"eval", "shared", "--checkpoint=step-000000009"});
    EXPECT_EQ(o.exit_code, 1) << o.out;
    EXPECT_EQ(o.out, "");
    EXPECT_THAT(o.err, AllOf(HasSubstr(std::isfinite(value) ? "the loss of shared on rain/val is"
                                                            : "mlp.1.up.weight is not finite"),
                             HasSubstr("--checkpoint")));
  }
}

// A corpus that is another one by now -------------------------------------------------------------

TEST_F(Evaluated, ACorpusThatWasPreparedAnewIsNotTheOneThatWasTrainedOn) {
  const std::string word = "the files of hills are not those that the run was trained on";
  place_->write("hills.txt", small_text());
  const auto prepared = [&] { return place_->run({"prepare", "hills.txt", "--force"}).exit_code; };
  ASSERT_EQ(prepared(), 0);
  ASSERT_EQ(place_->train({"--dataset=hills", "--run_name=hills", "--max_iters=1"}).exit_code, 0);
  const Words evaluate = {"eval", "hills", "--max_batches=1", "--json"};
  const auto expect_said = [&](const Words& verb, bool said) {
    const Outcome o = place_->run(verb);
    EXPECT_EQ(o.exit_code, 0) << o.err;
    EXPECT_EQ(o.err.find(word) != std::string::npos, said) << verb[0] << ": " << o.err;
    if (verb == evaluate) {
      EXPECT_EQ(nlohmann::json::parse(o.out)["same_corpus"], !said);
    }
  };
  ASSERT_EQ(prepared(), 0) << "the same text again";
  expect_said(evaluate, false);
  // The same letters, so that nothing else tells the two apart.
  std::string other = small_text();
  std::reverse(other.begin(), other.end());
  place_->write("hills.txt", other);
  ASSERT_EQ(prepared(), 0);
  expect_said(evaluate, true);
  expect_said({"trace", "hills", "--num_chars=8", "--sentences=0"}, true);
  expect_said({"sizes", "hills"}, true);
  // Another one on purpose needs no word.
  expect_said({"eval", "hills", "--max_batches=1", "--dataset=rain"}, false);
}

}  // namespace
}  // namespace fathom::testing
