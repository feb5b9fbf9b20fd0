import { Pressable, StyleSheet, Text, View } from 'react-native';

import { colors, space } from '../theme';

export default function TabBar({ tabs, selected, onSelect }) {
  return (
    <View style={styles.bar} accessibilityRole="tablist">
      {tabs.map(({ key, title }) => (
        <Pressable
          key={key}
          style={styles.tab}
          accessibilityRole="tab"
          accessibilityState={{ selected: key === selected }}
          onPress={() => onSelect(key)}
        >
          <Text style={[styles.title, key === selected && styles.selected]}>{title}</Text>
        </Pressable>
      ))}
    </View>
  );
}

const styles = StyleSheet.create({
  bar: { flexDirection: 'row', borderTopWidth: 1, borderColor: colors.line, backgroundColor: colors.card },
  tab: { flex: 1, alignItems: 'center', padding: space.medium },
  title: { color: colors.muted, fontSize: 16 },
  selected: { color: colors.accent, fontWeight: '600' },
});
