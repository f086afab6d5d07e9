#include "fathom/io/files.h"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <utility>

#include "io/temp_folder.h"

namespace fathom {
namespace {

using ::testing::ElementsAre;
using testing::error_of;
using ::testing::HasSubstr;
using testing::slurp;
using testing::spill;
using testing::TempFolder;

std::string text_of(Span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST(MappedFile, ShowsTheBytesAndMoves) {
  TempFolder folder;
  spill(folder / "a", "hello");
  MappedFile a(folder / "a");
  EXPECT_EQ(text_of(a.bytes()), "hello");
  MappedFile b(std::move(a));
  EXPECT_EQ(text_of(b.bytes()), "hello");
  spill(folder / "c", "world!");
  MappedFile c(folder / "c");
  c = std::move(b);
  EXPECT_EQ(text_of(c.bytes()), "hello");
}

TEST(MappedFile, AnEmptyFileIsAnEmptySpan) {
  TempFolder folder;
  spill(folder / "empty", "");
  EXPECT_TRUE(MappedFile(folder / "empty").bytes().empty());
}

TEST(MappedFile, RefusesWhatIsNotAFile) {
  TempFolder folder;
  EXPECT_THAT(error_of([&] { MappedFile(folder / "none"); }),
              HasSubstr("/none: No such file or directory"));
  EXPECT_THAT(error_of([&] { MappedFile(folder.path()); }), HasSubstr("it is a folder"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { MappedFile(folder / "pipe"); }), HasSubstr("a device or a pipe"));
}

TEST(MappedFile, KeepsTheOldContentWhenTheFileIsReplaced) {
  TempFolder folder;
  const std::string old_text(100'000, 'o');
  spill(folder / "model", old_text);
  const MappedFile mapped(folder / "model");
  write_file_durably(folder / "model", as_bytes("new"));
  EXPECT_EQ(text_of(mapped.bytes()), old_text);
  EXPECT_EQ(slurp(folder / "model"), "new");
}

TEST(MappedFile, ReadsWithoutTheMapping) {
  TempFolder folder;
  spill(folder / "a", "hello");
  MappedFile a(folder / "a");
  spill(folder / "b", "other");
  MappedFile b(folder / "b");
  b = std::move(a);
  std::vector<std::byte> out(3);
  b.read(1, out);
  EXPECT_EQ(text_of(out), "ell");
  b.read(5, {});
  std::filesystem::remove(folder / "a");
  b.read(2, out);
  EXPECT_EQ(text_of(out), "llo") << "the opened file counts, not its name";
}

TEST(MappedFile, SaysThatItWasCutShort) {
  TempFolder folder;
  spill(folder / "a", "hello");
  const MappedFile a(folder / "a");
  std::filesystem::resize_file(folder / "a", 2);
  std::vector<std::byte> out(3);
  EXPECT_THAT(error_of([&] { a.read(1, out); }),
              ::testing::AllOf(HasSubstr("/a ends at byte 2"), HasSubstr("it had 5")));
  EXPECT_THAT(error_of([&] {
                a.read(4, {out.data(), 1});
              }),
              HasSubstr("/a ends at byte 2,"))
      << "not at what was asked for";
  std::filesystem::resize_file(folder / "a", 0);
  EXPECT_THAT(error_of([&] { a.read(1, out); }), HasSubstr("/a ends at byte 0,"));
}

TEST(WriteOutput, LeavesPipesAndLinksWhatTheyAre) {
  TempFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::string read;
  std::thread reader([&] { read = slurp(folder / "pipe"); });
  write_output(folder / "pipe", as_bytes("through"));
  reader.join();
  EXPECT_EQ(read, "through");
  EXPECT_TRUE(std::filesystem::is_fifo(folder / "pipe"));
  spill(folder / "file", "old");
  std::filesystem::create_symlink("file", folder / "link");
  write_output(folder / "link", as_bytes("new"));
  EXPECT_EQ(slurp(folder / "file"), "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  write_output(folder / "fresh", as_bytes("x"));
  EXPECT_EQ(slurp(folder / "fresh"), "x");
  EXPECT_THAT(error_of([&] { write_output(folder.path(), as_bytes("x")); }),
              HasSubstr("it is a folder"));
  EXPECT_THAT(error_of([&] { write_output(folder / "none/x", as_bytes("x")); }),
              HasSubstr("there is no folder"));
}

TEST(ReadTextFile, ReadsUpToTheLimit) {
  TempFolder folder;
  spill(folder / "a", std::string(10'000, 'x'));
  EXPECT_EQ(read_text_file(folder / "a", 10'000), std::string(10'000, 'x'));
  EXPECT_THAT(error_of([&] { read_text_file(folder / "a", 9'999); }),
              HasSubstr("longer than the 9,999 bytes"));
  EXPECT_THAT(error_of([&] { read_text_file(folder.path(), 10); }), HasSubstr("Is a directory"));
  EXPECT_THAT(error_of([] { read_text_file("/dev/zero", 100'000); }), HasSubstr("longer than"));
  EXPECT_EQ(read_text_file("/dev/null", 0), "");
}

TEST(NewFile, WithoutCommitNothingHappens) {
  TempFolder folder;
  spill(folder / "a", "old");
  {
    NewFile file(folder / "a");
    file.write(as_bytes("new"));
    EXPECT_EQ(folder.entries().size(), 2u);
  }
  EXPECT_EQ(slurp(folder / "a"), "old");
  EXPECT_THAT(folder.entries(), ElementsAre("a"));
}

TEST(NewFile, KeepsTheOrderOfSmallAndLargeWrites) {
  TempFolder folder;
  std::string expected;
  NewFile file(folder / "a");
  for (const size_t size : {3u, 1u << 20, 7u, (1u << 20) - 8, 5u, 3u << 20, 0u, 1u}) {
    const std::string part(size, static_cast<char>('a' + expected.size() % 26));
    file.write(as_bytes(part));
    expected += part;
  }
  file.commit();
  EXPECT_EQ(slurp(folder / "a"), expected);
  EXPECT_THAT(folder.entries(), ElementsAre("a"));
}

TEST(NewFile, RemovesWhatADeadProcessLeftButNotALivingOnes) {
  TempFolder folder;
  spill(folder / ".a.tmp-1", "left by a process that was killed");
  NewFile living(folder / "a");
  EXPECT_EQ(folder.entries().size(), 1u);
  write_file_durably(folder / "a", as_bytes("second"));
  EXPECT_EQ(slurp(folder / "a"), "second");
  living.write(as_bytes("first"));
  living.commit();
  EXPECT_EQ(slurp(folder / "a"), "first");
  EXPECT_THAT(folder.entries(), ElementsAre("a"));
}

TEST(NewFile, RefusesPathsWithoutAName) {
  for (const char* path : {"", "/", "..", "a/..", "."})
    EXPECT_THAT(error_of([&] { NewFile file(path); }), HasSubstr("does not end in a name"));
  EXPECT_THAT(error_of([] { write_file_durably("/no/such/folder/a", {}); }),
              HasSubstr("No such file or directory"));
}

TEST(WriteFileDurably, IntoTheCurrentFolder) {
  TempFolder folder;
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  write_file_durably("plain", as_bytes("x"));
  std::filesystem::current_path(before);
  EXPECT_EQ(slurp(folder / "plain"), "x");
}

TEST(WriteFileDurably, OverTheFileSizeLimitLeavesTheOldFile) {
  TempFolder folder;
  spill(folder / "a", "old");
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit tight = {1000, before.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &tight);
  const std::string big(5000, 'x');
  const std::string message = error_of([&] { write_file_durably(folder / "a", as_bytes(big)); });
  ::setrlimit(RLIMIT_FSIZE, &before);
  ::signal(SIGXFSZ, SIG_DFL);
  EXPECT_THAT(message, HasSubstr("/a: File too large"));
  EXPECT_EQ(slurp(folder / "a"), "old");
  EXPECT_THAT(folder.entries(), ElementsAre("a"));
}

TEST(WriteFileDurably, OnAFullDiskLeavesTheOldFile) {
  TempFolder folder;
  const std::string disk = folder / "disk";
  std::filesystem::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=64k") != 0)
    GTEST_SKIP() << "needs the right to mount a small disk";
  spill(disk + "/a", "old");
  const std::string big(200'000, 'x');
  const std::string message = error_of([&] { write_file_durably(disk + "/a", as_bytes(big)); });
  {
    StagedFolder staged(disk + "/last");
    EXPECT_THAT(error_of([&] { write_file_durably(staged.path() + "/b", as_bytes(big)); }),
                HasSubstr("No space left on device"));
  }
  size_t entries = 0;
  for (const auto& entry : std::filesystem::directory_iterator(disk)) entries += entry.exists();
  const std::string old_text = slurp(disk + "/a");
  ::umount(disk.c_str());
  EXPECT_THAT(message, HasSubstr("No space left on device"));
  EXPECT_EQ(old_text, "old");
  EXPECT_EQ(entries, 1u);
}

TEST(WriteFileDurably, IntoAFolderWithoutPermissionIsRefused) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may write anywhere";
  TempFolder folder;
  ::chmod(folder.path().c_str(), 0500);
  const std::string message = error_of([&] { write_file_durably(folder / "a", {}); });
  ::chmod(folder.path().c_str(), 0700);
  EXPECT_THAT(message, HasSubstr("Permission denied"));
}

TEST(Xxh3, KnownAnswers) {
  EXPECT_EQ(xxh3({}), 0x2d06800538d394c2u);  // of no bytes, from the xxHash specification
  EXPECT_EQ(xxh3_hex(as_bytes("")), "2d06800538d394c2");
  EXPECT_EQ(xxh3_hex(uint64_t{10}), "000000000000000a");
  TempFolder folder;
  spill(folder / "a", "some bytes");
  EXPECT_EQ(xxh3_file(folder / "a"), xxh3(as_bytes("some bytes")));
  EXPECT_NE(xxh3(as_bytes("some bytes")), xxh3(as_bytes("some bytez")));
}

}  // namespace
}  // namespace fathom
