#include "fathom/io/checkpoint_folder.h"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "io/checkpoints.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using testing::caught;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using testing::error_of;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::save_small;
using testing::slurp;
using testing::spill;
using ::testing::StartsWith;
using testing::state_text;
using testing::TempFolder;

// What verify_checkpoint() says behind the folder's name.
std::string verdict(const std::string& folder) {
  const Error error = caught([&] { verify_checkpoint(folder); });
  EXPECT_EQ(error.kind(), ErrorKind::kFailure);
  EXPECT_THAT(error.hint(), HasSubstr("take another checkpoint"));
  const std::string message = error.what();
  EXPECT_THAT(message, StartsWith(folder + " is "));
  EXPECT_EQ(message.find('\n'), message.npos);
  return message.substr(std::min(message.size(), folder.size() + 1));
}

TEST(CheckpointFolder, RoundTrip) {
  TempFolder folder;
  save_small(folder / "last", 3);
  save_small(folder / "last", 5);
  verify_checkpoint(folder / "last");
  EXPECT_EQ(slurp(folder / "last/state.json"), state_text(5));
  EXPECT_EQ(SafetensorsFile::open(folder / "last/model.safetensors").tensors().size(), 1u);
  EXPECT_THAT(folder.entries(), ElementsAre("last"));
  const auto choice = newest_complete(folder.path());
  ASSERT_TRUE(choice.has_value());
  EXPECT_EQ(choice->folder, folder / "last");
  EXPECT_EQ(choice->step, 5);
  EXPECT_THAT(choice->skipped, IsEmpty());
}

TEST(CheckpointFolder, SameContentSameManifest) {
  TempFolder folder;
  save_small(folder / "last", 3);
  save_small(folder / "best", 3);
  EXPECT_EQ(slurp(folder / "last/manifest.json"), slurp(folder / "best/manifest.json"));
}

TEST(CheckpointFolder, WithoutCommitThePreviousOneStays) {
  TempFolder folder;
  save_small(folder / "last", 3);
  { testing::fill_checkpoint(CheckpointWriter(folder / "last").path(), 4, 8); }
  EXPECT_EQ(newest_complete(folder.path())->step, 3);
  EXPECT_THAT(folder.entries(), ElementsAre("last"));
}

TEST(CheckpointFolder, WritesItsOwnManifest) {
  TempFolder folder;
  CheckpointWriter writer(folder / "last");
  spill(writer.path() + "/manifest.json", "{}");
  testing::fill_checkpoint(writer.path(), 1, 8);
  writer.commit();
  verify_checkpoint(folder / "last");
}

TEST(CheckpointFolder, TakesOnlyPlainFiles) {
  TempFolder folder;
  const auto refusal = [&](auto prepare) {
    CheckpointWriter writer(folder / "last");
    spill(writer.path() + "/state.json", "{}");
    prepare(writer.path());
    return error_of([&] { writer.commit(); });
  };
  const auto create = [](const std::string& name) {
    return [name](const std::string& path) { spill(path + "/" + name, ""); };
  };
  EXPECT_THAT(refusal(create("with space")), StartsWith("\"with space\" cannot be part of"));
  EXPECT_THAT(refusal(create(".hidden")), HasSubstr("cannot be part of"));
  EXPECT_THAT(refusal(create("new\nline")), HasSubstr("cannot be part of"));
  EXPECT_THAT(refusal([](const std::string& path) { fs::create_directory(path + "/deep"); }),
              HasSubstr("cannot be part of"));
  EXPECT_THAT(refusal([](const std::string& path) { fs::create_symlink("x", path + "/link"); }),
              HasSubstr("cannot be part of"));
  EXPECT_THAT(refusal([](const std::string& path) { fs::remove(path + "/state.json"); }),
              HasSubstr("has 1 to 1000 files, not 0"));
  EXPECT_THAT(folder.entries(), IsEmpty());
}

TEST(CheckpointFolder, SaysWhatIsWrong) {
  TempFolder folder;
  const std::string last = folder / "last";
  const auto after = [&](auto damage) {
    save_small(last, 1);
    damage();
    return verdict(last);
  };
  EXPECT_EQ(after([&] { fs::remove(last + "/model.safetensors"); }),
            "is incomplete: model.safetensors is missing");
  EXPECT_EQ(after([&] { fs::remove(last + "/manifest.json"); }),
            "is incomplete: manifest.json is missing");
  EXPECT_EQ(after([&] { fs::resize_file(last + "/state.json", 3); }),
            "is incomplete: state.json has 3 bytes instead of 44");
  EXPECT_EQ(after([&] { fs::resize_file(last + "/state.json", 1048); }),
            "is damaged: state.json has 1,048 bytes instead of 44");
  EXPECT_EQ(after([&] { spill(last + "/state.json", state_text(2)); }),
            "is damaged: the checksum of state.json is not the recorded one");
  save_small(last, 1);
  spill(last + "/.DS_Store", "of somebody else");
  EXPECT_NO_THROW(verify_checkpoint(last));
  EXPECT_EQ(after([&] { fs::resize_file(last + "/manifest.json", 100); }),
            "is incomplete: manifest.json is cut short");
  EXPECT_EQ(after([&] { fs::resize_file(last + "/manifest.json", (1 << 20) + 1); }),
            "is damaged: manifest.json is longer than 1048576 bytes");
  fs::remove_all(last);
  EXPECT_EQ(verdict(last), "is incomplete: there is no such folder");
}

TEST(CheckpointFolder, FollowsNoLinksAndWaitsForNoPipes) {
  TempFolder folder;
  const std::string last = folder / "last";
  for (const std::string& name : testing::kCheckpointFiles) {
    save_small(last, 1);
    fs::rename(last + "/" + name, folder / "elsewhere");
    fs::create_symlink(folder / "elsewhere", last + "/" + name);
    EXPECT_EQ(verdict(last), "is damaged: " + name + " is not a file");
    fs::remove(last + "/" + name);
    ASSERT_EQ(::mkfifo((last + "/" + name).c_str(), 0600), 0);
    EXPECT_EQ(verdict(last), "is damaged: " + name + " is not a file");
    EXPECT_FALSE(newest_complete(folder.path()).has_value());
  }
}

TEST(CheckpointFolder, SweepsWhatDeadWritersLeft) {
  TempFolder folder;
  for (const char* name :
       {".last.staging-1", ".best.staging-2.1", ".step-000000007.staging-removed",
        ".step-000000008.staging-3", ".other.staging-1", ".last.previous.bak", "notes.staging-1"})
    fs::create_directories(folder / name + "/deep");
  CheckpointWriter living(folder / "step-000000009");
  save_small(folder / "best", 1);
  testing::fill_checkpoint(living.path(), 9, 8);
  living.commit();
  EXPECT_THAT(folder.entries(), ElementsAre(".last.previous.bak", ".other.staging-1", "best",
                                            "notes.staging-1", "step-000000009"));
}

TEST(NumberedName, HasNineDigitsOrMore) {
  EXPECT_EQ(numbered_name(0), "step-000000000");
  EXPECT_EQ(numbered_name(1000), "step-000001000");
  EXPECT_EQ(numbered_name(12'345'678'901), "step-12345678901");
}

TEST(NewestComplete, NoneWhereThereIsNone) {
  TempFolder folder;
  EXPECT_FALSE(newest_complete(folder.path()).has_value());
  EXPECT_FALSE(newest_complete(folder / "absent").has_value());
  fs::create_directory(folder / "last");
  spill(folder / "best", "a file");
  EXPECT_FALSE(newest_complete(folder.path()).has_value());
}

TEST(NewestComplete, TakesTheHighestStepAndAmongEqualsLastThenNumbered) {
  TempFolder folder;
  const auto chosen = [&] { return fs::path(newest_complete(folder.path())->folder).filename(); };
  save_small(folder / "best", 30);
  EXPECT_EQ(chosen(), "best");
  save_small(folder / numbered_name(20), 20);
  EXPECT_EQ(chosen(), "best");
  save_small(folder / numbered_name(30), 30);
  EXPECT_EQ(chosen(), "step-000000030");
  save_small(folder / "last", 29);
  EXPECT_EQ(chosen(), "step-000000030");
  save_small(folder / "last", 30);
  EXPECT_EQ(chosen(), "last");
  save_small(folder / numbered_name(12'345'678'901), 12'345'678'901);
  EXPECT_EQ(chosen(), "step-12345678901");
  save_small(folder / "other", INT64_MAX);
  save_small(folder / "step-40", 40);
  save_small(folder / "step-0000000050", 50);
  save_small(folder / "step-00000006x", 60);
  save_small(folder / "step--00000060", 60);
  save_small(folder / "step-99999999999999999999", 60);
  EXPECT_EQ(chosen(), "step-12345678901");
}

TEST(NewestComplete, SaysWhatItPassedOver) {
  TempFolder folder;
  save_small(folder / "last", 30);
  save_small(folder / numbered_name(20), 20);
  save_small(folder / numbered_name(10), 10);
  save_small(folder / "best", 5);
  testing::flip_bit(folder / "last/model.safetensors", 999);
  fs::remove(folder / "step-000000020/optimizer.safetensors");
  fs::remove(folder / "best/state.json");
  const auto choice = newest_complete(folder.path());
  ASSERT_TRUE(choice.has_value());
  EXPECT_EQ(choice->folder, folder / "step-000000010");
  EXPECT_EQ(choice->step, 10);
  EXPECT_THAT(
      choice->skipped,
      ElementsAre(
          folder / "best is incomplete: state.json is missing",
          folder / "last is damaged: the checksum of model.safetensors is not the recorded one",
          folder / "step-000000020 is incomplete: optimizer.safetensors is missing"));
}

TEST(NewestComplete, FindsWhatACrashSetAside) {
  TempFolder folder;
  save_small(folder / "last", 3);
  fs::rename(folder / "last", folder / ".last.previous");
  EXPECT_EQ(newest_complete(folder.path())->folder, folder / ".last.previous");
  save_small(folder / numbered_name(4), 4);
  fs::rename(folder / numbered_name(4), folder / ".step-000000004.previous");
  EXPECT_EQ(newest_complete(folder.path())->folder, folder / ".step-000000004.previous");
  EXPECT_EQ(newest_complete(folder.path())->step, 4);
  verify_checkpoint(folder / "step-000000004");
}

TEST(NewestComplete, ReadsTheStepOfAnyStateAsHostile) {
  TempFolder folder;
  const auto step_of = [&](const std::string& state) -> int64_t {
    CheckpointWriter writer(folder / "last");
    spill(writer.path() + "/state.json", state);
    writer.commit();
    const auto choice = newest_complete(folder.path());
    return choice ? choice->step : -1;
  };
  EXPECT_EQ(step_of(R"({"step": 7})"), 7);
  EXPECT_EQ(step_of(R"({"a": [{"step": 1}, [2]], "b": {"step": {}}, "step": 7, "c": [3]})"), 7);
  EXPECT_EQ(step_of(R"({"step": 9223372036854775807})"), INT64_MAX);
  EXPECT_EQ(step_of("{\"a\": " + std::string(500'000, '[') + std::string(500'000, ']') +
                    ", \"step\": 7}"),
            7);
  for (const char* state :
       {"", "{", "[]", "[7]", "7", "{}", "null", R"({"step": -1})", R"({"step": 1.0})",
        R"({"step": "7"})", R"({"step": [7]})", R"({"step": {"step": 7}})", R"({"step": true})",
        R"({"step": 9223372036854775808})", R"({"step": 1e99})", R"({"step": 7} x)",
        R"({"a": {"step": 7}})", R"([{"step": 7}])", "{\"step\": 7, \"a\": \"\xFF\"}"})
    EXPECT_EQ(step_of(state), -1) << state;
}

TEST(Prune, KeepsTheNewestAndTouchesNothingElse) {
  TempFolder folder;
  for (const int64_t step : {1, 2, 3, 10, 20}) save_small(folder / numbered_name(step), step);
  save_small(folder / "last", 1);
  save_small(folder / "best", 1);
  fs::create_directory(folder / "step-5");
  fs::create_directory(folder / "step-000000005.old");
  spill(folder / "step-000000004", "a file");
  fs::create_directory_symlink("best", folder / "step-000000000");
  const std::vector<std::string> others = {"best",           "last",   "step-000000000",
                                           "step-000000004", "step-5", "step-000000005.old"};
  const auto left = [&](int64_t keep) {
    prune_numbered(folder.path(), keep);
    std::vector<std::string> names = folder.entries();
    for (const std::string& other : others) {
      const auto found = std::find(names.begin(), names.end(), other);
      if (found == names.end()) return std::vector<std::string>{other + " is missing"};
      names.erase(found);
    }
    return names;
  };
  const std::vector<std::string> all = {"step-000000001", "step-000000002", "step-000000003",
                                        "step-000000010", "step-000000020"};
  EXPECT_EQ(left(-1), all);
  EXPECT_EQ(left(INT64_MIN), all);
  EXPECT_EQ(left(5), all);
  EXPECT_EQ(left(INT64_MAX), all);
  EXPECT_THAT(left(3), ElementsAre("step-000000003", "step-000000010", "step-000000020"));
  EXPECT_THAT(left(1), ElementsAre("step-000000020"));
  EXPECT_THAT(left(0), ElementsAre("step-000000020"));  // `last` is older
  save_small(folder / "last", 20);
  EXPECT_THAT(left(0), IsEmpty());
}

TEST(Prune, RemovesNothingThatANewerCompleteOneDoesNotReplace) {
  TempFolder folder;
  const auto ruin = [&](const std::string& name) {
    testing::flip_bit(folder / name + "/model.safetensors", 999);
  };
  for (const int64_t step : {1, 2, 3, 4}) save_small(folder / numbered_name(step), step);
  ruin("step-000000003");
  ruin("step-000000004");
  prune_numbered(folder.path(), 1);
  EXPECT_EQ(folder.entries().size(), 4u);
  prune_numbered(folder.path(), 2);
  EXPECT_EQ(folder.entries().size(), 4u);
  save_small(folder / "last", 1);  // replaces step 1 only
  prune_numbered(folder.path(), 1);
  EXPECT_THAT(folder.entries(),
              ElementsAre("last", "step-000000002", "step-000000003", "step-000000004"));
  save_small(folder / "last", 9);
  ruin("last");
  prune_numbered(folder.path(), 0);
  EXPECT_EQ(folder.entries().size(), 4u);
  save_small(folder / "last", 9);
  prune_numbered(folder.path(), 2);
  EXPECT_THAT(folder.entries(), ElementsAre("last", "step-000000003", "step-000000004"));
}

TEST(Prune, RemovesWhatACrashSetAside) {
  TempFolder folder;
  for (const int64_t step : {1, 2, 3}) save_small(folder / numbered_name(step), step);
  fs::rename(folder / "step-000000001", folder / ".step-000000001.previous");
  fs::create_directory(folder / ".step-000000002.previous");
  fs::create_directory(folder / ".step-000000002.staging-removed");
  prune_numbered(folder.path(), 1);
  EXPECT_THAT(folder.entries(), ElementsAre("step-000000003"));
  EXPECT_THAT(error_of([&] { prune_numbered(folder / "absent", 1); }),
              AllOf(StartsWith("cannot list"), EndsWith("No such file or directory")));
}

TEST(SetAsideBeyond, MovesWhatIsLaterAndWhatCannotTell) {
  TempFolder folder;
  const std::string checkpoints = folder / "checkpoints";
  fs::create_directory(checkpoints);
  save_small(checkpoints + "/" + numbered_name(10), 10);
  save_small(checkpoints + "/" + numbered_name(20), 20);
  save_small(checkpoints + "/best", 15);
  save_small(checkpoints + "/last", 30);
  EXPECT_EQ(set_aside_beyond(checkpoints, 30), "");
  EXPECT_EQ(set_aside_beyond(checkpoints, 15), checkpoints + "-1");
  EXPECT_EQ(newest_complete(checkpoints)->step, 15);
  EXPECT_EQ(newest_complete(checkpoints + "-1")->step, 30) << "nothing is lost";
  EXPECT_TRUE(fs::exists(checkpoints + "-1/" + numbered_name(20)));
  spill(checkpoints + "/best/state.json", "{}");
  EXPECT_EQ(set_aside_beyond(checkpoints, 15), checkpoints + "-2");
  EXPECT_EQ(set_aside_beyond(checkpoints, -1), checkpoints + "-3");
  EXPECT_FALSE(newest_complete(checkpoints));
  EXPECT_EQ(set_aside_beyond(checkpoints, -1), "");
  EXPECT_EQ(set_aside_beyond(folder / "absent", 0), "");
}

TEST(NewestComplete, TellsWhyThereIsNone) {
  TempFolder folder;
  save_small(folder / "last", 1);
  fs::resize_file(folder / "last/model.safetensors", 3);
  std::vector<std::string> reasons;
  EXPECT_FALSE(newest_complete(folder.path(), &reasons));
  EXPECT_THAT(reasons, ::testing::ElementsAre(HasSubstr("last is incomplete: model.safetensors")));
}

}  // namespace
}  // namespace fathom
