/** Completion for bash. */
import type { CommandDescription, CommandOption, Completion } from "./description.ts";

/** Returns the completion script for bash. */
export function bashCompletion(commands: readonly CommandDescription[]): string {
  const tables = [
    caseFunction("_nitro_commands", "the commands that can follow command $1", nextCommands(commands)),
    caseFunction("_nitro_options", "the options of command $1", commands.map(optionNames)),
    caseFunction(
      "_nitro_operands",
      "how the operands of command $1 are completed",
      commands.flatMap(operands),
    ),
    caseFunction(
      "_nitro_argument",
      "how the argument of option $2 is completed",
      commands.flatMap(argumentRows),
    ),
    caseFunction("_nitro_properties", "the properties of option $2", commands.flatMap(propertyNames)),
    caseFunction("_nitro_value", "how property $3 of option $2 is completed", commands.flatMap(propertyRows)),
  ];
  return `# Completion of nitro for bash, generated from its option table.\n\n${tables.join("\n")}\n${MAIN}`;
}

type Row = readonly [pattern: string, output: string];

/** Returns a shell function that prints the line of the pattern that its arguments match. */
function caseFunction(name: string, comment: string, rows: readonly Row[]): string {
  const cases = rows.map(([pattern, output]) => `    '${pattern}') echo '${output}' ;;`);
  return `# Prints ${comment}.\n${name}() {\n  case "$*" in\n${cases.join("\n")}\n  esac\n}\n`;
}

function namesOf({ name, alias }: CommandOption): string[] {
  return alias === undefined ? [name] : [name, alias];
}

function optionNames({ name, options }: CommandDescription): Row {
  return [name, options.flatMap(namesOf).join(" ")];
}

/** Returns how an argument is completed: `@file`, `@directory`, a list of words, or nothing. */
function completionText(completion: Completion): string {
  if (completion.kind === "words") return completion.words.join(" ");
  return completion.kind === "text" ? "" : `@${completion.kind}`;
}

function operands({ name, operands: completion }: CommandDescription): Row[] {
  const text = completionText(completion);
  return text === "" ? [] : [[name, text]];
}

function argumentRows({ name, options }: CommandDescription): Row[] {
  return options.flatMap((option) => {
    if (option.argument === undefined) return [];
    return namesOf(option).map(
      (each): Row => [`${name} -${each}`, completionText(option.completion) || "@text"],
    );
  });
}

function propertyNames({ name, options }: CommandDescription): Row[] {
  return options.flatMap((option) => {
    const names = option.properties.map((property) => `${property.name}=`).join(" ");
    return names === "" ? [] : namesOf(option).map((each): Row => [`${name} -${each}`, names]);
  });
}

function propertyRows({ name, options }: CommandDescription): Row[] {
  return options.flatMap((option) =>
    option.properties.flatMap((property) => {
      const text = completionText(property.completion);
      return text === ""
        ? []
        : namesOf(option).map((each): Row => [`${name} -${each} ${property.name}`, text]);
    }),
  );
}

/** Returns the words that can follow each command, and nitro itself (""). */
function nextCommands(commands: readonly CommandDescription[]): Row[] {
  const next = new Map<string, Set<string>>();
  for (const { name } of commands.filter((command) => command.name !== "")) {
    const words = name.split(" ");
    words.forEach((word, i) => {
      const parent = words.slice(0, i).join(" ");
      next.set(parent, (next.get(parent) ?? new Set()).add(word));
    });
  }
  return [...next].map(([parent, words]) => [parent, [...words].join(" ")]);
}

const MAIN = `# Sets COMPREPLY to the completions of $3 that $1 stands for, each after $2.
_nitro_reply() {
  case $1 in
    @file | @directory) compopt -o filenames 2>/dev/null ;;
  esac
  case $1 in
    @file) mapfile -t COMPREPLY < <(compgen -P "$2" -f -- "$3") ;;
    @directory) mapfile -t COMPREPLY < <(compgen -P "$2" -d -- "$3") ;;
    *) mapfile -t COMPREPLY < <(compgen -P "$2" -W "$1" -- "$3") ;;
  esac
  case \${COMPREPLY[0]} in
    *[=:]) compopt -o nospace 2>/dev/null ;;
  esac
}

# Completes $3, the argument of option $2 of command $1: a value, or properties after commas.
_nitro_complete_argument() {
  local words properties head="" last=$3
  words=$(_nitro_argument "$1" "$2")
  properties=$(_nitro_properties "$1" "$2")
  if [[ -z $properties ]]; then
    [[ $words == @text ]] || _nitro_reply "$words" "" "$3"
    return
  fi
  if [[ $3 == *,* ]]; then head=\${3%,*}, last=\${3##*,} words=""; fi
  if [[ $last == *=* ]]; then
    _nitro_reply "$(_nitro_value "$1" "$2" "\${last%%=*}")" "$head\${last%%=*}=" "\${last#*=}"
  else
    _nitro_reply "\${words#@text} $properties" "$head" "$last"
  fi
}

_nitro() {
  local -a words
  local line=\${COMP_LINE:0:COMP_POINT} command="" first=1
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=("")
  local last=$((\${#words[@]} - 1))
  local current=\${words[last]} previous=\${words[last - 1]}
  while (( first < last )) && [[ \${words[first]} != -* && -n $(_nitro_commands "$command") ]]; do
    command="\${command:+$command }\${words[first]}"
    first=$((first + 1))
  done
  COMPREPLY=()
  previous=\${previous#-}
  previous=-\${previous#-}
  if (( last > first )) && [[ \${words[last - 1]} == -* && -n $(_nitro_argument "$command" "$previous") ]]; then
    _nitro_complete_argument "$command" "$previous" "$current"
  elif [[ $current == --* ]]; then
    _nitro_reply "$(_nitro_options "$command")" -- "\${current#--}"
  elif [[ $current == -* ]]; then
    _nitro_reply "$(_nitro_options "$command")" - "\${current#-}"
  elif (( last == first )) && [[ -n $(_nitro_commands "$command") ]]; then
    _nitro_reply "$(_nitro_commands "$command")" "" "$current"
  else
    _nitro_reply "$(_nitro_operands "$command")" "" "$current"
  fi
  # Readline replaces only what follows the last = or :.
  if [[ $current == *[=:]* ]]; then
    local kept=\${current%"\${current##*[=:]}"}
    COMPREPLY=("\${COMPREPLY[@]#"$kept"}")
  fi
}

complete -F _nitro nitro
`;
