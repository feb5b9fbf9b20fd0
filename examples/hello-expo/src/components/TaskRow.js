import { Pressable, StyleSheet, Text } from 'react-native';

import { colors, space } from '../theme';

export default function TaskRow({ task, onToggle }) {
  return (
    <Pressable
      style={styles.row}
      accessibilityRole="checkbox"
      accessibilityState={{ checked: task.done }}
      onPress={() => onToggle(task.id)}
    >
      <Text style={styles.mark}>{task.done ? '☑' : '☐'}</Text>
      <Text style={[styles.title, task.done && styles.done]}>{task.title}</Text>
    </Pressable>
  );
}

const styles = StyleSheet.create({
  row: {
    flexDirection: 'row',
    alignItems: 'center',
    padding: space.medium,
    marginBottom: space.small,
    borderRadius: 10,
    backgroundColor: colors.card,
  },
  mark: { fontSize: 22, marginRight: space.medium, color: colors.accent },
  title: { flex: 1, fontSize: 17, color: colors.text },
  done: { color: colors.muted, textDecorationLine: 'line-through' },
});
